import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.quantizers import Quantizer, QuantizerSettings, usage

KINDS = {
    "fsq": QuantizerSettings(levels=(5, 4)),
    "vq": QuantizerSettings(kind="vq", size=12, features=3),
    "simvq": QuantizerSettings(kind="simvq", size=12, features=3),
}
X = jax.random.normal(jax.random.key(0), (2, 3, 4, 16))


@pytest.mark.parametrize("kind", KINDS)
def test_one_interface(kind):
    module = Quantizer(KINDS[kind], width=16, groups=3)
    # Parameters of `tokens` are only made when it runs.
    variables = module.init(jax.random.key(1), X, method=lambda m, x: m.tokens(m(x, None, None).value))
    out = module.apply(variables, X, None, None)
    assert out.index.shape == (2, 3, 4, 3)
    assert out.index.dtype == jnp.int32
    assert 0 <= out.index.min() <= out.index.max() < KINDS[kind].codebook_size
    assert out.value.shape == (2, 3, 4, 3, KINDS[kind].code_features)
    np.testing.assert_array_equal(module.apply(variables, out.index, method="lookup"), out.value)
    gradient = jax.grad(lambda x: jnp.sum(module.apply(variables, x, None, None).value ** 2))(X)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_groups_are_coded_apart():
    module = Quantizer(KINDS["fsq"], width=16, groups=2)
    variables = module.init(jax.random.key(1), X, None, None)
    kernel = variables["params"]["project_in"]["kernel"]
    changed = {
        "params": {"project_in": {"kernel": kernel.at[:, :2].add(1.0), "bias": variables["params"]["project_in"]["bias"]}}
    }
    before, after = (module.apply(v, X, None, None).index for v in (variables, changed))
    np.testing.assert_array_equal(before[..., 1], after[..., 1])
    assert not np.array_equal(before[..., 0], after[..., 0])


@pytest.mark.parametrize("kind", ["vq", "simvq"])
def test_skipped_tokens_do_not_count_in_the_loss(kind):
    module = Quantizer(KINDS[kind], width=16, groups=2)
    variables = module.init(jax.random.key(1), X, None, None)
    kept = jnp.zeros((2, 3, 4), bool).at[:, 1].set(True)
    one, other = (module.apply(variables, x, kept, None).loss for x in (X, jnp.where(kept[..., None], X, 9.0)))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(one, module.apply(variables, X[:, 1:2], None, None).loss, rtol=1e-5)


def test_usage_counts_and_leaves_out():
    index = jnp.array([[0, 1], [1, 3]])
    np.testing.assert_array_equal(usage(index, 5), [1, 2, 0, 1, 0])
    np.testing.assert_array_equal(usage(index, 5, jnp.array([[True, False], [True, True]])), [1, 1, 0, 1, 0])


def test_normalised_tokens_use_many_codes_of_the_default_codebook():
    module = Quantizer(QuantizerSettings(), width=64)
    x = jax.random.normal(jax.random.key(0), (4, 16, 16, 64))
    index = module.apply(module.init(jax.random.key(1), x, None, None), x, None, None).index
    assert len(np.unique(index)) > 0.8 * index.size


def test_settings_refuse_what_makes_no_codebook():
    with pytest.raises(InputError, match=r"quantizer\.levels\[1\] is 1; want it 2 or more"):
        config.parse(QuantizerSettings, {"levels": (8, 1)}, "quantizer")
    with pytest.raises(InputError, match="codes; want at most"):
        config.parse(QuantizerSettings, {"levels": (64,) * 6}, "quantizer")
    assert config.parse(QuantizerSettings, config.to_json(KINDS["vq"])) == KINDS["vq"]
    assert dataclasses.replace(KINDS["fsq"], levels=(8, 8, 8, 6, 5)).codebook_size == 15360
