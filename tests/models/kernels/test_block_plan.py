import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.kernels import block_plan
from ugf_jax.models.kernels.visibility import EVERY, Visibility

SIZES = (4, 8)
may_meet, listed = jax.jit(block_plan.may_meet, static_argnums=(1, 2)), jax.jit(block_plan.listed)


def pairs_of_blocks(dense):
    batch, queries, keys = dense.shape
    blocks = dense.reshape(batch, queries // SIZES[0], SIZES[0], keys // SIZES[1], SIZES[1])
    return blocks.any(axis=(2, 4))


@pytest.mark.parametrize("seed", range(5))
def test_no_block_with_a_visible_pair_is_left_out(seed):
    rng = np.random.default_rng(seed)
    queries = np.sort(rng.integers(0, 5, (3, 32))), rng.integers(0, 20, (3, 32))
    keys = np.where(rng.random((3, 64)) < 0.02, EVERY, np.sort(rng.integers(0, 5, (3, 64)))), rng.integers(0, 40, (3, 64))
    seen = Visibility(*(jnp.asarray(x, jnp.int32) for x in (*queries, *keys)))
    met = np.asarray(may_meet(seen, SIZES, False))
    assert not (pairs_of_blocks(np.asarray(seen.sees())) & ~met).any()
    assert met.mean() < 0.8


@pytest.mark.parametrize("tokens", [32, 29])
def test_packed_rows_meet_only_within_documents_and_backwards(tokens, packed):
    seen = packed(tokens).pad(32 - tokens, 32 - tokens)
    met = np.asarray(may_meet(seen, SIZES, True))
    real = np.asarray(seen.query_segments[0] > 0)
    exact = pairs_of_blocks(np.asarray(seen.sees(ordered=True)))
    rows = real.reshape(-1, SIZES[0]).all(axis=1)
    assert not (exact & ~met).any()
    assert met[:, rows].sum() <= exact[:, rows].sum() + 2  # ranges of segments and positions are nearly exact here


def test_a_key_that_all_see_costs_one_block_and_padding_none():
    ones = jnp.ones((1, 32), jnp.int32)
    segments = jnp.where(jnp.arange(62) < 31, 1, 2)[None].at[:, 0].set(EVERY)
    seen = Visibility(2 * ones, 5 * ones, segments, jnp.zeros((1, 62), jnp.int32)).pad(0, 2)
    np.testing.assert_array_equal(may_meet(seen, (32, 8), False)[0, 0], [1, 0, 0, 1, 1, 1, 1, 1])
    hidden = seen.replace(key_releases=seen.key_releases.at[:, 32:].set(6))
    np.testing.assert_array_equal(may_meet(hidden, (32, 8), False)[0, 0], [1, 0, 0, 1, 0, 0, 0, 0])


def test_listed_counts_and_names_them_in_order():
    met = np.random.default_rng(0).random((2, 5, 9)) < 0.4
    for row, plan in zip(met.reshape(-1, 9), np.asarray(listed(jnp.asarray(met))).reshape(-1, 10), strict=True):
        np.testing.assert_array_equal(plan[1 : plan[0] + 1], np.flatnonzero(row))
