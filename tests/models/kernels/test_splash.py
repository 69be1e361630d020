import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.kernels.reference import reference
from ugf_jax.models.kernels.splash import block_size, key_ranges, splash
from ugf_jax.models.kernels.visibility import EVERY, Visibility

TOKENS, KEYS = 200, 300
NEVER = 2**30


@functools.partial(jax.jit, static_argnums=0)
def run(function, query, key, value, seen):
    output, pull = jax.vjp(lambda *a: function(*a, seen), query, key, value)
    return output, *pull(jnp.cos(jnp.arange(output.size, dtype=output.dtype).reshape(output.shape)))


def test_packed_rows_equal_the_reference_and_documents_are_strangers(packed):
    """Two blocks of 128 tokens, the second padded; then document 2 changes and no other by a single bit."""
    key, value = jax.random.normal(jax.random.key(0), (2, 1, TOKENS, 2, 16))
    query = jax.random.normal(jax.random.key(1), (1, TOKENS, 4, 16))
    seen = packed(TOKENS)
    ours = functools.partial(splash, ordered=True, blocks=(128,), interpret=True)
    before = run(ours, query, key, value, seen)
    for mine, theirs in zip(before, run(functools.partial(reference, ordered=True), query, key, value, seen), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    second = np.asarray(seen.query_segments[0] == 2)
    moved = np.where(second, np.flatnonzero(second)[0] + np.flatnonzero(second)[-1] - np.arange(TOKENS), np.arange(TOKENS))
    after = run(ours, query, key[:, moved], value[:, moved], seen)
    for x, y in zip(before, after, strict=True):
        np.testing.assert_array_equal(x[:, ~second], y[:, ~second])
        assert not np.array_equal(x[:, second], y[:, second])


def test_forward_and_backward_lower_for_tpu_without_one(shapes, gradients):
    function = gradients(functools.partial(splash, ordered=True))
    text = function.trace(*shapes(1024, 1024, 4, 2, 64, jnp.bfloat16)).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") >= 2


def sorted_visibility(rows=2, seed=0):
    """Queries of packed documents; two keys that all see, then those of the documents in another order, then padding."""
    rng = np.random.default_rng(seed)
    who, whom = np.zeros((2, rows, TOKENS), np.int32), np.zeros((2, rows, KEYS), np.int32)
    whom[1] = NEVER
    for row in range(rows):
        ends = np.sort(rng.choice(np.arange(10, TOKENS), 4, replace=False))
        for n, (start, end) in enumerate(zip([0, *ends], ends, strict=False), 1):
            who[:, row, start:end] = np.full(end - start, n), np.arange(end - start)
        whom[:, row, :2] = EVERY, EVERY
        whom[1, row, :2] = 0, 20
        at = 2
        for n in rng.permutation([1, 2, 4]):  # document 3 has no keys
            images = rng.integers(1, 50, 2)
            releases = np.sort(rng.integers(0, 40, 2))
            for count, release in zip(images, releases, strict=True):
                whom[:, row, at : at + count] = np.array([[n], [release]])
                at += count
        whom[:, row, at : at + 5] = np.array([[n], [NEVER]])  # of the last one, some that nobody sees
    return Visibility(*(jnp.asarray(x) for x in (*who, *whom)))


def drawn(rows=2):
    key, value = jax.random.normal(jax.random.key(0), (2, rows, KEYS, 2, 16))
    return jax.random.normal(jax.random.key(1), (rows, TOKENS, 4, 16)), key, value


into_sorted = functools.partial(splash, ordered=False, sorted_keys=True, blocks=(128,), interpret=True)


def test_sorted_keys_equal_the_reference_and_unseen_ones_change_nothing():
    """Two blocks of queries, three of keys; then keys that document 1 does not see, or only late, change."""
    query, key, value = drawn()
    seen = sorted_visibility()
    blind = np.arange(TOKENS) % 7 == 3
    seen = seen.replace(query_positions=jnp.where(blind, -1, seen.query_positions))
    dense = np.asarray(seen.sees())
    assert not dense[:, blind].any()
    assert 0.05 < dense[:, ~blind].mean() < 0.5
    before = run(into_sorted, query, key, value, seen)
    for mine, theirs in zip(before, run(functools.partial(reference, ordered=False), query, key, value, seen), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    assert not np.any(before[0][:, blind])
    changed = np.asarray((seen.key_segments != 1) & (seen.key_segments != EVERY) | (seen.key_releases > 20))
    touched = (dense & changed[:, None]).any(axis=2)
    assert 0 < touched.sum() < touched.size
    new_key, new_value = (jnp.where(changed[:, :, None, None], x + 1, x) for x in (key, value))
    after = run(into_sorted, query, new_key, new_value, seen)
    for x, y in zip(before[:2], after[:2], strict=True):
        np.testing.assert_array_equal(x[~touched], y[~touched])
    assert np.abs(before[0] - after[0])[touched].max() > 0.1
    never = ~dense.any(axis=1)
    assert never.any()
    assert not any(np.any(np.asarray(g)[never]) for g in before[2:])


@pytest.mark.parametrize("seed", range(3))
def test_a_range_holds_what_the_rule_says(seed):
    seen = sorted_visibility(rows=3, seed=seed)
    ranges, blind = (np.asarray(x) for x in jax.jit(key_ranges)(seen))
    bits = KEYS.bit_length()
    common, start, end = ranges >> 2 * bits, (ranges >> bits) % 2**bits, ranges % 2**bits
    index = np.arange(KEYS)
    dense = (index < common[..., None]) | ((index >= start[..., None]) & (index < end[..., None]))
    np.testing.assert_array_equal(dense, seen.sees())
    np.testing.assert_array_equal(blind, ~dense.any(axis=2))
    mixed = seen.replace(key_releases=seen.key_releases[:, ::-1], key_segments=seen.key_segments[:, ::-1])
    mixed = mixed.replace(key_releases=jnp.roll(mixed.key_releases, 1, axis=1))  # no longer sorted: no range says it
    common, start, end = (np.asarray(key_ranges(mixed)[0]) >> s & (2**bits - 1) for s in (2 * bits, bits, 0))
    wrong = (index < common[..., None]) | ((index >= start[..., None]) & (index < end[..., None]))
    assert not np.array_equal(wrong, mixed.sees())


def test_attention_to_sorted_keys_lowers_for_tpu_without_one(shapes, gradients):
    function = gradients(functools.partial(splash, ordered=False, sorted_keys=True))
    text = function.trace(*shapes(512, 1025, 4, 2, 128, jnp.bfloat16)).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") >= 2


def test_blocks_are_those_that_pad_least():
    assert [block_size(n) for n in (100, 128, 300, 512, 640, 2048, 2049, 4097)] == [128, 128, 384, 512, 384, 512, 384, 384]
    for length in range(1, 3000, 37):
        waste = -length % block_size(length)
        assert waste < 256 if length > 512 else waste < 128


def test_what_splash_cannot_do_is_refused(packed, shapes):
    x = jnp.zeros((1, 8, 1, 16))
    with pytest.raises(ValueError, match="want 'chunked'"):
        splash(x, x, x, packed(8), False)
    with pytest.raises(ValueError, match="32768 sorted keys; want at most 32767"):
        jax.eval_shape(into_sorted, *shapes(8, 32_768, 2, 2, 16))
