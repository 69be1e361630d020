import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.detail import DetailLogits
from ugf_jax.models.digits import Digits
from ugf_jax.objectives.masked import draw_mask, masked_terms, mean

DIGITS = Digits((4, 3))
SHAPE = (4, 6, 8, 2)
INDEX = jax.random.randint(jax.random.key(0), SHAPE, 0, 12)
KEPT = jax.random.bernoulli(jax.random.key(1), 0.6, SHAPE[:-1])
MASKED = draw_mask(jax.random.key(2), KEPT, 2)
LOGITS = DetailLogits(
    jax.random.normal(jax.random.key(3), (*SHAPE, 7)),
    jax.random.normal(jax.random.key(4), SHAPE[:-1]),
    jax.random.normal(jax.random.key(5), (2, 7, 7)) * DIGITS.earlier,
)


def total(logits):
    terms = masked_terms(logits, INDEX, MASKED, KEPT, DIGITS)
    return mean(terms.nats, terms.codes) + mean(terms.kept_nats, terms.positions)


def test_only_what_is_masked_carries_loss():
    grads = jax.grad(total)(LOGITS)
    counted = np.asarray(MASKED & KEPT[..., None])
    felt = np.abs(np.asarray(grads.codes)).max(-1)
    np.testing.assert_array_equal(felt[~counted], 0)
    assert (felt[counted] > 0).all()
    unknown = np.asarray(MASKED.all(-1))
    np.testing.assert_array_equal(np.asarray(grads.kept)[~unknown], 0)
    assert (np.asarray(grads.kept)[unknown] != 0).all()


def test_terms_are_those_of_a_loop():
    terms = masked_terms(LOGITS, INDEX, MASKED, KEPT, DIGITS)
    codes, kept_logits, links = (np.asarray(x, np.float64) for x in (LOGITS.codes, LOGITS.kept, LOGITS.links))
    nats, right, kept_nats = np.zeros(4), np.zeros(4), np.zeros(4)
    for place in np.ndindex(*SHAPE):
        if MASKED[place] and KEPT[place[:-1]]:
            first, second = int(INDEX[place]) % 4, int(INDEX[place]) // 4
            ones, threes = codes[place][:4], codes[place][4:] + links[place[-1], first, 4:]
            nats[place[0]] += np.log(np.exp(ones).sum()) - ones[first] + np.log(np.exp(threes).sum()) - threes[second]
            right[place[0]] += ones.argmax() == first and threes.argmax() == second
    for place in np.ndindex(*SHAPE[:-1]):
        if MASKED[place].all():
            kept_nats[place[0]] += np.log1p(np.exp(kept_logits[place] * (-1 if KEPT[place] else 1)))
    np.testing.assert_allclose(terms.nats, nats, rtol=1e-5)
    np.testing.assert_array_equal(terms.right, right)
    np.testing.assert_allclose(terms.kept_nats, kept_nats, rtol=1e-5)
    np.testing.assert_array_equal(terms.codes, (MASKED & KEPT[..., None]).sum((1, 2, 3)))
    np.testing.assert_array_equal(terms.positions, MASKED.all(-1).sum((1, 2)))


def test_the_truth_costs_nothing():
    sure = DetailLogits(
        100 * jnp.sum(jax.nn.one_hot(DIGITS.rows(INDEX), 7), axis=-2), jnp.where(KEPT, 100.0, -100.0), jnp.zeros((2, 7, 7))
    )
    assert total(sure) == pytest.approx(0, abs=1e-6)
    terms = masked_terms(sure, INDEX, MASKED, KEPT, DIGITS)
    np.testing.assert_array_equal(terms.right, terms.codes)


def test_nothing_masked_is_no_loss_and_not_a_division_by_zero():
    terms = masked_terms(LOGITS, INDEX, jnp.zeros(SHAPE, bool), KEPT, DIGITS)
    assert mean(terms.nats, terms.codes) == 0


def test_masks_hide_every_share_and_skipped_positions_as_a_whole():
    kept = jax.random.bernoulli(jax.random.key(0), 0.5, (8, 32, 32))
    shares = []
    for seed in range(20):
        masked = np.asarray(draw_mask(jax.random.key(seed), kept, 2))
        skipped = masked[~np.asarray(kept)]
        np.testing.assert_array_equal(skipped[:, 0], skipped[:, 1])
        shares.append(masked.mean((1, 2, 3)))
    # The cosine of a uniform time: mean 2 / pi; and in every batch some images early, some late.
    assert np.mean(shares) == pytest.approx(2 / np.pi, abs=0.02)
    assert np.min(shares, axis=1).max() < 0.3
    assert np.max(shares, axis=1).min() > 0.9
