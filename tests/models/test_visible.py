import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from ugf_jax.models.kernels.chunked import chunked
from ugf_jax.models.kernels.flash import flash
from ugf_jax.models.kernels.reference import reference
from ugf_jax.models.kernels.tiles import Tile, Tiles
from ugf_jax.models.visible import EVERY, Visibility, attend, choose


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


# name: (queries, keys, heads, kv heads, features, ordered)
CASES = {
    "self": (37, 37, 4, 2, 8, True),
    "cross": (21, 45, 4, 4, 12, False),
}
FUNCTIONS = {
    "chunked": functools.partial(chunked, block=16),
    "pallas": functools.partial(flash, tiles=Tiles(*[Tile(16, 16)] * 3), interpret=True),
}
everywhere = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
everywhere_and_reference = pytest.mark.parametrize("function", [reference, *FUNCTIONS.values()], ids=["reference", *FUNCTIONS])
cases = pytest.mark.parametrize("name", CASES)


def case(name, batch=2):
    queries, keys, heads, kv_heads, features, ordered = CASES[name]
    seen = Visibility.causal(*packed(batch, queries)) if ordered else crossing(batch, queries, keys)
    return draw(batch, queries, keys, heads, kv_heads, features), seen, ordered


def pulled(function, query, key, value, seen):
    """Output and the gradients of a random weighting of it with respect to query, key and value."""
    weights = jax.random.normal(jax.random.key(7), query.shape)
    output, pull = jax.vjp(lambda q, k, v: function(q, k, v, seen), query, key, value)
    return output, *pull(weights.astype(output.dtype))


@functools.partial(jax.jit, static_argnums=(0, 5))
def run(function, query, key, value, seen, ordered):
    return pulled(lambda *a: function(*a, ordered), query, key, value, seen)


@functools.cache
def expected(name):
    """What the reference gives."""
    arrays, seen, ordered = case(name)
    return run(reference, *arrays, seen, ordered)


@cases
def test_the_reference_is_the_definition(name):
    arrays, seen, ordered = case(name)
    np.testing.assert_allclose(expected(name)[0], oracle(*arrays, seen, ordered), rtol=1e-5, atol=1e-6)


@cases
@everywhere
def test_output_and_gradients_equal_the_reference(function, name):
    arrays, seen, ordered = case(name)
    for ours, theirs in zip(run(function, *arrays, seen, ordered), expected(name), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=5e-6)


@everywhere
def test_bfloat16_is_accumulated_in_float32(function):
    arrays, seen, ordered = case("cross")
    halves = [x.astype(jnp.bfloat16) for x in arrays]
    for ours, theirs in zip(run(function, *halves, seen, ordered), expected("cross"), strict=True):
        assert ours.dtype == jnp.bfloat16
        difference = np.abs(np.asarray(ours, np.float32) - theirs)
        assert difference.max() < 0.05 * np.abs(theirs).max()
        assert difference.mean() < 0.01 * np.abs(theirs).max()


@everywhere_and_reference
def test_who_sees_nothing_gets_zero_and_finite_gradients(function):
    (query, key, value), seen, ordered = case("cross")
    blind = np.arange(query.shape[1]) % 3 == 1
    seen = seen.replace(query_positions=jnp.where(blind, -1, seen.query_positions))
    output, *gradients = run(function, query, key, value, seen, ordered)
    assert not np.any(output[:, blind])
    assert np.all(np.any(output[:, ~blind], axis=(2, 3)))
    assert all(np.isfinite(g).all() for g in gradients)
    assert not np.any(gradients[0][:, blind])
    nothing = seen.replace(key_releases=jnp.full_like(seen.key_releases, 2**30))
    assert not any(np.any(x) for x in run(function, query, key, value, nothing, ordered))


@everywhere_and_reference
def test_unseen_keys_change_nothing_by_a_single_bit(function):
    """Keys of document 1 and document 2 that come late change places, with their values: document 3 and early queries stay."""
    (query, key, value), seen, ordered = case("cross")
    late = (seen.key_segments > 0) & (seen.key_segments < 3) & (seen.key_releases >= 2)
    places = np.tile(np.arange(key.shape[1]), (len(key), 1))
    for row, here in zip(places, np.asarray(late), strict=True):
        row[here] = np.roll(row[here], 1)

    def move(x):
        return jnp.take_along_axis(x, places.reshape(places.shape + (1,) * (x.ndim - 2)), axis=1)

    moved_seen = seen.replace(key_segments=move(seen.key_segments), key_releases=move(seen.key_releases))
    touched = np.any(np.asarray(seen.sees()) & np.asarray(late)[:, None], axis=2)
    assert 0 < touched.sum() < touched.size
    before, dq, dk, _ = run(function, query, key, value, seen, ordered)
    for rule in (seen, moved_seen):
        after, moved_dq, *_ = run(function, query, move(key), move(value), rule, ordered)
        np.testing.assert_array_equal(before[~touched], after[~touched])
        np.testing.assert_array_equal(dq[~touched], moved_dq[~touched])
        assert (np.abs(before - after)[touched].max() > 0.1) == (rule is seen)
    never = ~np.any(seen.sees(), axis=1)
    assert never.any()
    assert not np.any(dk[never])


def test_in_packed_rows_order_hides_nothing_but_padding():
    _, seen, _ = case("self")
    free, ordered = np.asarray(seen.sees()), np.asarray(seen.sees(ordered=True))
    real = np.asarray(seen.query_segments) > 0
    np.testing.assert_array_equal(free[real], ordered[real])
    assert not np.array_equal(free, ordered)  # padding sees later padding only without it


def test_shapes_that_do_not_fit_are_refused():
    (query, key, value), seen, _ = case("self")
    with pytest.raises(ValueError, match="want one of auto, reference"):
        attend(query, key, value, seen, "other")
    with pytest.raises(ValueError, match="attention of query"):
        attend(query[:, :, :3], key, value, seen)
    with pytest.raises(ValueError, match="visibility"):
        attend(query[:, :3], key, value, seen)
    with pytest.raises(ValueError, match="ordered attention of 3 queries to 37 keys"):
        attend(
            query[:, :3],
            key,
            value,
            seen.replace(query_segments=seen.query_segments[:, :3], query_positions=seen.query_positions[:, :3]),
            ordered=True,
        )


@pytest.mark.parametrize("implementation", ["chunked", "pallas", "splash"])
def test_a_mesh_changes_nothing(implementation):
    """Rows over two devices, two kv heads over four."""
    (query, key, value), seen, ordered = case("self")
    mesh = jax.make_mesh((2, 1, 4), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)
    rows = jax.NamedSharding(mesh, P(("data", "fsdp")))
    attention = functools.partial(attend, implementation=implementation)
    with jax.set_mesh(mesh):
        arrays = jax.device_put((query, key, value, seen), rows)
        split = jax.jit(lambda q, k, v, seen: pulled(lambda *a: attention(*a, ordered=ordered), q, k, v, seen))(*arrays)
    for ours, theirs in zip(split, expected("self"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=5e-6)


def test_auto_never_makes_a_dense_mask_where_it_would_be_large():
    assert choose(2048, 2048, 64, True, "gpu") == choose(2048, 8193, 64, False, "gpu") == "pallas"
    assert choose(2048, 2048, 512, True, "gpu") == "chunked"
    assert choose(2048, 2048, 64, True, "tpu") == "splash"
    assert choose(2048, 8193, 64, False, "tpu") == choose(2048, 40_000, 64, True, "tpu") == "chunked"
    assert choose(2048, 2048, 64, True, "cpu") == "chunked"
    assert choose(64, 64, 64, True, "cpu") == choose(1, 4096, 64, False, "gpu") == "reference"
