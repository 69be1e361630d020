"""The distribution that is sampled, against NumPy; and that samples have this distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.config import parse
from ugf_jax.errors import InputError
from ugf_jax.generation import sampling
from ugf_jax.generation.sampling import Sampling, SamplingSettings, log_probability, shape_logits

ROWS, IDS = 64, 50
shape = jax.jit(shape_logits, static_argnums=3)
draw = jax.jit(sampling.draw, static_argnums=3)


def random_logits(seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=(ROWS, IDS)).astype(np.float32)
    return logits, rng.random((ROWS, IDS)) < 0.7


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def oracle(logits, allowed, temperature, top_k, top_p):
    """By sorting: the likeliest k, then of these the fewest that have probability p."""
    found = []
    for row, may in zip(logits.astype(np.float64), allowed, strict=True):
        row = np.where(may, row / temperature, -np.inf)
        order = np.argsort(-row)
        if top_k:
            row[order[top_k:]] = -np.inf
        before = np.cumsum(softmax(row)[order]) - softmax(row)[order]
        row[order[before >= top_p]] = -np.inf
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1, 0, 1), (0.5, 7, 1), (2, 0, 0.8), (0.7, 12, 0.6), (1, 1, 1), (1, 0, 1e-6), (1, 90, 1)],
)
def test_the_shape_of_the_distribution(temperature, top_k, top_p):
    logits, allowed = random_logits()
    found = np.asarray(shape(logits, allowed, Sampling.of(SamplingSettings(temperature, top_k, top_p)), True))
    expected = oracle(logits, allowed, temperature, top_k, top_p)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(softmax(found), softmax(expected), atol=1e-5)


def test_each_row_has_its_own_numbers():
    logits, allowed = random_logits()
    several = Sampling(jnp.linspace(0.5, 2, ROWS), jnp.arange(ROWS) % 5, jnp.linspace(0.3, 1, ROWS))
    found = np.asarray(shape(logits, allowed, several, True))
    for i in (0, 1, 33, 63):
        numbers = float(several.temperature[i]), int(several.top_k[i]), float(several.top_p[i])
        np.testing.assert_allclose(softmax(found[[i]]), softmax(oracle(logits[[i]], allowed[[i]], *numbers)), atol=1e-5)


def test_equal_logits_are_kept_together():
    logits = np.zeros((ROWS, IDS), np.float32)
    logits[0, 1:5] = 1, 1, -1, 1
    found = shape(logits, np.ones((ROWS, IDS), bool), Sampling.of(SamplingSettings(top_k=2)), True)
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(found[0])), [1, 2, 4])
    assert np.isfinite(found[1:]).all()


def test_without_cuts_nothing_is_cut():
    logits, allowed = random_logits()
    plain = Sampling.of(SamplingSettings(temperature=0.5))
    np.testing.assert_array_equal(shape(logits, allowed, plain, False), shape(logits, allowed, plain, True))


def test_draws_have_the_distribution_and_its_log_probabilities():
    logits = np.array([[0.0, 1.0, 2.0, -40.0, 0.5]], np.float32)
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn, log_probabilities = draw(keys, jnp.repeat(logits, len(keys), axis=0), jnp.ones(1))
    share = np.bincount(drawn, minlength=5) / len(keys)
    np.testing.assert_allclose(share, softmax(logits)[0], atol=0.015)  # 4 standard errors
    assert share[3] == 0
    np.testing.assert_allclose(log_probabilities, np.log(softmax(logits)[0])[drawn], atol=1e-5)
    np.testing.assert_allclose(log_probability(jnp.array(logits), jnp.array([2])), np.log(softmax(logits)[0, 2]), rtol=1e-5)


def test_of_many_ids_only_allowed_ones_are_drawn_as_often_as_they_should():
    rng = np.random.default_rng(0)
    allowed = rng.random(1000) < 0.02  # most blocks have a few, some have none
    allowed[:300] = False
    logits = np.where(allowed, 2 * rng.standard_normal(1000), -np.inf).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn, log_probabilities = jax.jit(draw)(keys, jnp.tile(logits, (len(keys), 1)), jnp.ones(1))
    p = softmax(logits[None])[0]
    assert allowed[np.asarray(drawn)].all()
    share = np.bincount(drawn, minlength=1000) / len(keys)
    np.testing.assert_array_less(np.abs(share - p), 5 * np.sqrt(p / len(keys)) + 1e-9)
    np.testing.assert_allclose(log_probabilities, np.log(p[np.asarray(drawn)]), atol=1e-5)


def test_at_temperature_0_the_likeliest_is_certain():
    logits, _ = random_logits()
    keys = jax.random.split(jax.random.key(0), ROWS)
    mixed = jnp.arange(ROWS) % 2.0
    for temperature, certain in ((jnp.zeros(1), True), (jnp.zeros(1), False), (mixed, False)):
        drawn, log_probabilities = draw(keys, logits, jnp.broadcast_to(temperature, ROWS), certain)
        cold = np.broadcast_to(temperature == 0, ROWS)
        np.testing.assert_array_equal(np.asarray(drawn)[cold], logits.argmax(axis=1)[cold])
        assert not np.asarray(log_probabilities)[cold].any()
    assert (np.asarray(drawn)[~cold] != logits.argmax(axis=1)[~cold]).any()


def test_a_row_is_drawn_by_its_own_key():
    logits, _ = random_logits()
    keys = jax.random.split(jax.random.key(0), ROWS)
    together, _ = draw(keys, logits, jnp.ones(ROWS))
    others = np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32)
    others[5] = logits[5]
    assert draw(keys, others, jnp.ones(ROWS))[0][5] == together[5]
    assert draw(keys[5:6], logits[5:6], jnp.ones(1))[0][0] == together[5]
    again, _ = draw(keys[::-1], logits, jnp.ones(ROWS))
    assert (again != together).any()


@pytest.mark.parametrize("values", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_numbers_out_of_range_are_refused(values):
    with pytest.raises(InputError, match=next(iter(values))):
        parse(SamplingSettings, values)
