import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.visible import EVERY, Visibility, attend


def oracle(query, key, value, visibility, ordered):
    """The definition, one query at a time, in float64."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    segments, positions, key_segments, releases = (np.asarray(x) for x in (*visibility.queries, *visibility.keys))
    output = np.zeros(query.shape)
    group = query.shape[2] // key.shape[2]
    for b, i, h in np.ndindex(query.shape[:3]):
        same = (key_segments[b] == segments[b, i]) | (key_segments[b] == EVERY)
        seen = np.flatnonzero(same & (positions[b, i] >= releases[b]))
        seen = seen[seen <= i] if ordered else seen
        if len(seen):
            logits = key[b, seen, h // group] @ query[b, i, h] / np.sqrt(query.shape[-1])
            weights = np.exp(logits - logits.max())
            output[b, i, h] = weights / weights.sum() @ value[b, seen, h // group]
    return output


def draw(batch, queries, keys, heads, kv_heads, features, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(batch, queries, heads, features)] + [(batch, keys, kv_heads, features)] * 2
    return [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]


def packed(batch, tokens, seed=0, documents=3):
    """Segments and positions of rows with up to `documents` documents and padding behind them."""
    rng = np.random.default_rng(seed)
    segments, positions = np.zeros((2, batch, tokens), np.int32)
    for b in range(batch):
        ends = np.sort(rng.choice(np.arange(1, tokens), documents, replace=False))
        for n, (start, end) in enumerate(zip([0, *ends], ends, strict=False), 1):
            segments[b, start:end] = n
            positions[b, start:end] = np.arange(end - start)
    return jnp.asarray(segments), jnp.asarray(positions)


def crossing(batch, queries, keys, seed=0):
    """Keys of random documents with random releases; some that all see, some that nobody sees; key 0 is always seen."""
    rng = np.random.default_rng(seed)
    segments, positions = packed(batch, queries, seed)
    key_segments = rng.integers(-1, 4, (batch, keys))
    releases = np.where(rng.random((batch, keys)) < 0.2, 2**30, rng.integers(0, queries // 2, (batch, keys)))
    key_segments[:, 0], releases[:, 0] = EVERY, 0
    return Visibility(segments, positions, jnp.asarray(key_segments, jnp.int32), jnp.asarray(releases, jnp.int32))


def attention(implementation, ordered=False):
    return jax.jit(lambda q, k, v, seen: attend(q, k, v, seen, implementation, ordered))


# name: (queries, keys, heads, kv heads, features, ordered)
CASES = {
    "self": (24, 24, 4, 4, 8, True),
    "grouped self": (17, 17, 4, 2, 8, True),
    "cross": (11, 37, 4, 1, 8, False),
}


def case(name, batch=2):
    queries, keys, heads, kv_heads, features, ordered = CASES[name]
    seen = Visibility.causal(*packed(batch, queries)) if ordered else crossing(batch, queries, keys)
    return draw(batch, queries, keys, heads, kv_heads, features), seen, ordered


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_the_definition(name):
    arrays, seen, ordered = case(name)
    np.testing.assert_allclose(
        attention("reference", ordered)(*arrays, seen), oracle(*arrays, seen, ordered), rtol=1e-5, atol=1e-6
    )


def test_packed_rows_in_order_need_no_more_than_the_rule():
    arrays, seen, _ = case("self")
    free, ordered = (attention("reference", o)(*arrays, seen) for o in (False, True))
    real = np.asarray(seen.query_segments) > 0
    np.testing.assert_array_equal(free[real], ordered[real])
    assert not np.array_equal(free, ordered)  # padding sees later padding only without it


def test_padding_adds_queries_that_see_nothing_and_keys_that_nobody_sees():
    seen = crossing(2, 5, 7)
    dense = np.asarray(seen.pad(3, 2).sees())
    np.testing.assert_array_equal(dense[:, :5, :7], seen.sees())
    assert not dense[:, 5:].any()
    assert not dense[..., 7:].any()


def test_shapes_that_do_not_fit_are_refused():
    (query, key, value), seen, _ = case("grouped self")
    with pytest.raises(ValueError, match="want one of auto, reference"):
        attend(query, key, value, seen, "other")
    with pytest.raises(ValueError, match="attention of query"):
        attend(query[:, :, :3], key, value, seen)
    with pytest.raises(ValueError, match="visibility"):
        attend(query[:, :3], key, value, seen)
    with pytest.raises(ValueError, match="ordered attention of 3 queries to 17 keys"):
        attend(
            query[:, :3],
            key,
            value,
            seen.replace(query_segments=seen.query_segments[:, :3], query_positions=seen.query_positions[:, :3]),
            ordered=True,
        )
