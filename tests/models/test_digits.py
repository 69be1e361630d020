import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.digits import Digits
from ugf_jax.models.fsq import FSQ
from ugf_jax.models.quantizers import QuantizerSettings


@pytest.mark.parametrize("bases", [(8, 5, 5, 5), (3, 4), (7,)])
def test_every_code_has_digits_of_its_own_and_they_join_to_it(bases):
    digits = Digits(bases)
    index = jnp.arange(np.prod(bases))
    split = np.asarray(digits.split(index))
    assert ((split >= 0) & (split < np.array(bases))).all()
    assert len(np.unique(split, axis=0)) == len(index)
    np.testing.assert_array_equal(digits.join(digits.split(index)), index)


def test_digits_are_the_features_of_finite_scalar_quantization():
    levels = (4, 3, 5)
    index = jnp.arange(60)
    values = np.asarray(FSQ(levels).lookup(index))
    split = np.asarray(Digits.of(QuantizerSettings(levels=levels)).split(index))
    np.testing.assert_allclose(values, (2 * split + 1) / np.array(levels) - 1, atol=1e-6)


def test_learned_codebooks_and_unsplit_codes_have_one_digit():
    assert Digits.of(QuantizerSettings(kind="vq", size=64)).bases == (64,)
    assert Digits.of(QuantizerSettings(levels=(4, 4)), split=False).bases == (16,)
    assert Digits.of(QuantizerSettings(levels=(4, 4))).bases == (4, 4)


def test_values_of_digits_are_numbered_one_after_the_other():
    digits = Digits((3, 2))
    np.testing.assert_array_equal(digits.rows(jnp.array([0, 4, 5])), [[0, 3], [1, 4], [2, 4]])
    first, second = digits.parts(jnp.arange(5))
    np.testing.assert_array_equal(first, [0, 1, 2])
    np.testing.assert_array_equal(second, [3, 4])
    np.testing.assert_array_equal(digits.earlier, np.pad(np.ones((3, 2)), ((0, 2), (3, 0))))
