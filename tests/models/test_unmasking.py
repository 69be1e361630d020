import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.detail import CERTAIN, DetailLogits
from ugf_jax.models.digits import Digits
from ugf_jax.models.unmasking import UnmaskSettings, masked_share, unmask

DIGITS = Digits((4, 3))
SHAPE = (3, 5, 6, 2)
TRUTH = jax.random.randint(jax.random.key(0), SHAPE, 0, 12)
KEPT = jax.random.bernoulli(jax.random.key(1), 0.6, SHAPE[:-1])
HIDDEN = jnp.ones(SHAPE, bool)
NOTHING = jnp.zeros(SHAPE, jnp.int32)
EIGHT = UnmaskSettings()


def knows(index, masked, kept):
    """A model that knows the answer."""
    codes = jnp.sum(jax.nn.one_hot(DIGITS.rows(TRUTH[: len(index)]), 7), axis=-2)
    sign = jnp.where(KEPT[: len(index)], 1.0, -1.0)
    return DetailLogits(CERTAIN * codes, CERTAIN * sign, jnp.zeros((2, 7, 7)))


def wavers(index, masked, kept):
    """A model that knows little, and is moved by what is known."""
    rest = jnp.sum(jnp.where(masked | ~kept[..., None], 0, index), axis=(1, 2, 3))
    noise = jax.vmap(lambda n: jax.random.normal(jax.random.fold_in(jax.random.key(5), n), (*SHAPE[1:], 7)))(rest)
    return DetailLogits(2 * noise, noise[..., 0, 0], jnp.zeros((2, 7, 7)))


@functools.partial(jax.jit, static_argnums=(0, 5))
def run(model, index, masked, kept, key, settings=EIGHT):
    return unmask(model, index, masked, kept, DIGITS, key, settings)


@pytest.mark.parametrize("settings", [EIGHT, UnmaskSettings(1), UnmaskSettings(3, 0.0, 0.0), UnmaskSettings(40)])
def test_a_model_that_knows_the_answer_gives_it(settings):
    index, kept = run(knows, NOTHING, HIDDEN, ~KEPT, jax.random.key(2), settings)
    np.testing.assert_array_equal(kept, KEPT)
    np.testing.assert_array_equal(index, jnp.where(KEPT[..., None], TRUTH, 0))


def test_what_is_known_comes_back_unchanged():
    known = jax.random.bernoulli(jax.random.key(3), 0.5, SHAPE)
    known = jnp.where(KEPT[..., None], known, known[..., :1])
    index, kept = run(wavers, TRUTH, ~known, KEPT, jax.random.key(4))
    np.testing.assert_array_equal(jnp.where(known & KEPT[..., None], index - TRUTH, 0), 0)
    settled = known.any(-1)
    np.testing.assert_array_equal(kept[settled], KEPT[settled])
    assert (np.asarray(index != TRUTH) & ~known & KEPT[..., None]).any()
    index, kept = run(wavers, TRUTH, jnp.zeros(SHAPE, bool), KEPT, jax.random.key(4))
    np.testing.assert_array_equal(index, jnp.where(KEPT[..., None], TRUTH, 0))


def test_drawing_is_repeatable_by_key_and_each_image_draws_for_itself():
    one, again, other = (np.asarray(run(wavers, NOTHING, HIDDEN, KEPT, jax.random.key(n))[0]) for n in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.2
    assert (one[0] != one[1]).mean() > 0.2
    beside = jax.random.bernoulli(jax.random.key(6), 0.5, SHAPE).at[0].set(True)  # the others are partly known
    np.testing.assert_array_equal(run(wavers, NOTHING, beside, KEPT, jax.random.key(0))[0][0], one[0])
    keys = jax.vmap(lambda n: jax.random.fold_in(jax.random.key(0), n))(jnp.array([2, 1, 0]))
    turned, _ = run(wavers, NOTHING, HIDDEN, KEPT, keys)
    np.testing.assert_array_equal(turned, one[::-1])


@pytest.mark.parametrize("model", [knows, wavers])
def test_masks_fall_along_the_schedule_to_none(model):
    seen = []

    def watched(index, masked, kept):
        jax.debug.callback(lambda m: seen.append(np.asarray(m)), masked)
        return model(index, masked, kept)

    settings = UnmaskSettings(steps=5)
    jax.block_until_ready(unmask(watched, NOTHING, HIDDEN, KEPT, DIGITS, jax.random.key(0), settings))
    jax.effects_barrier()
    total = np.prod(SHAPE[1:])
    assert seen[0].all()
    assert len(seen) == 5
    for n, (before, after) in enumerate(itertools.pairwise(seen)):
        assert not (after & ~before).any()
        most = np.floor(total * np.cos(np.pi / 2 * (n + 1) / 5))
        assert (after.sum((1, 2, 3)) <= most).all()  # a skipped position takes its other codes along
        assert (after.sum((1, 2, 3)) > most - 2).all()


def test_the_surest_come_first():
    sure = np.linspace(0, 20, np.prod(SHAPE[1:])).reshape(SHAPE[1:])
    steps = []

    def model(index, masked, kept):
        jax.debug.callback(lambda m: steps.append(np.asarray(m)), masked)
        codes = jnp.sum(jax.nn.one_hot(DIGITS.rows(TRUTH), 7), axis=-2) * sure[..., None]
        return DetailLogits(codes, jnp.full(KEPT.shape, CERTAIN), jnp.zeros((2, 7, 7)))

    jax.block_until_ready(
        unmask(model, NOTHING, HIDDEN, KEPT, DIGITS, jax.random.key(0), UnmaskSettings(4, temperature=0, choice_temperature=0))
    )
    jax.effects_barrier()
    for masked in steps[1:]:
        assert np.max(sure[masked[0]], initial=0) < sure[~masked[0]].min()


def test_links_decide_between_digits_that_go_together():
    # Each digit alone is undecided; together only (0, 0) and (2, 1) are likely.
    links = np.full((2, 7, 7), -CERTAIN, np.float32) * DIGITS.earlier
    links[:, 0, 4], links[:, 2, 5] = 0, 0
    codes = jnp.tile(jnp.where(jnp.array([1, 0, 1, 0, 1, 1, 1], bool), 0.0, -CERTAIN), (*SHAPE, 1))

    def model(index, masked, kept):
        return DetailLogits(codes, jnp.full(KEPT.shape, CERTAIN), jnp.asarray(links))

    index, _ = run(model, NOTHING, HIDDEN, KEPT, jax.random.key(0))
    assert set(np.unique(index)) == {0, 6}


def test_the_share_of_masked_codes_falls_from_all_to_none():
    assert masked_share(0.0) == 1
    assert masked_share(1.0) == pytest.approx(0, abs=1e-6)
    assert masked_share(2 / 3) == pytest.approx(0.5)
