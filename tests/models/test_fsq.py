import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.fsq import FSQ

LEVELS = (8, 6, 5)


@pytest.fixture
def fsq():
    return FSQ(LEVELS)


def test_every_code_survives_value_and_back(fsq):
    index = jnp.arange(fsq.size)
    value = fsq.lookup(index)
    assert len(np.unique(np.asarray(value), axis=0)) == fsq.size == 240
    again, same, _ = fsq(jnp.arctanh(value))
    np.testing.assert_array_equal(same, index)
    np.testing.assert_array_equal(again, value)


def test_value_is_the_nearest_centre(fsq):
    x = jax.random.normal(jax.random.key(0), (500, 3)) * 2
    value, index, loss = fsq(x)
    np.testing.assert_array_equal(value, fsq.lookup(index))
    for i, levels in enumerate(LEVELS):
        centres = (2 * np.arange(levels) + 1) / levels - 1
        nearest = centres[np.abs(np.tanh(x[:, i])[:, None] - centres).argmin(1)]
        np.testing.assert_allclose(value[:, i], nearest, atol=1e-6)
    assert loss == 0


def test_gradient_is_that_of_the_squashing_alone(fsq):
    x = jax.random.normal(jax.random.key(0), (20, 3))
    weights = jax.random.normal(jax.random.key(1), (20, 3))
    gradient = jax.grad(lambda x: jnp.sum(weights * fsq(x)[0]))(x)
    step = 1e-3
    difference = (np.tanh(x + step) - np.tanh(x - step)) / (2 * step)
    np.testing.assert_allclose(gradient, weights * difference, rtol=1e-2, atol=1e-4)


def test_extreme_inputs_stay_in_the_outer_bins(fsq):
    value, index, _ = fsq(jnp.array([[-1e9, -1e9, -1e9], [1e9, 1e9, 1e9]]))
    np.testing.assert_array_equal(index, [0, fsq.size - 1])
    assert np.abs(value).max() < 1


def test_bins_are_equally_used_by_uniform_inputs(fsq):
    x = jnp.arctanh(jnp.linspace(-0.9999, 0.9999, 4000))[:, None].repeat(3, 1)
    value = np.asarray(fsq(x)[0])
    for i, levels in enumerate(LEVELS):
        counts = np.unique(value[:, i], return_counts=True)[1]
        np.testing.assert_allclose(counts, 4000 / levels, atol=2)
