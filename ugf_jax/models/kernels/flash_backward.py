"""Backward kernels of flash attention: one for the gradient of queries, one for those of keys and values.

Each computes the weights again from the log-sum-exp, so that no sum is shared between programs and the result does not depend
on their order (Dao et al. 2022, appendix B.4).
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from ugf_jax.models.kernels.block_plan import listed, may_meet
from ugf_jax.models.kernels.flash_forward import LOG2_E, Ref, product, seen_pairs
from ugf_jax.models.kernels.tiles import Tile, Tiles, pad, pad_rows
from ugf_jax.models.kernels.visibility import Visibility


def backward(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    visibility: Visibility,
    output: jax.Array,
    log_sum: jax.Array,
    gradient: jax.Array,
    tiles: Tiles,
    ordered: bool,
    interpret: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients of query, key and value from that of the output; `log_sum` as the forward kernel gives it."""
    # What the normalisation of a row takes back: the sum over keys of weight × its gradient.
    shared = jnp.einsum("bqhd,bqhd->bhq", output, gradient, preferred_element_type=jnp.float32)
    arrays = (query, key, value, gradient, log_sum, shared)
    dq = _query_gradient(*arrays, visibility, tiles.query_gradient.fit(query.shape[1], key.shape[1]), ordered, interpret)
    dk, dv = _key_gradients(*arrays, visibility, tiles.key_gradient.fit(query.shape[1], key.shape[1]), ordered, interpret)
    return dq, dk, dv


def _padded(tile: Tile, query: jax.Array, key: jax.Array, value: jax.Array, gradient: jax.Array, *rows: jax.Array) -> tuple:
    arrays = pad(query, tile.queries), pad(key, tile.keys), pad(value, tile.keys), pad(gradient, tile.queries)
    return *arrays, *(pad_rows(x, tile.queries) for x in rows)


def _query_gradient(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    gradient: jax.Array,
    log_sum: jax.Array,
    shared: jax.Array,
    visibility: Visibility,
    tile: Tile,
    ordered: bool,
    interpret: bool,
) -> jax.Array:
    (batch, queries, heads, features), keys = query.shape, key.shape[1]
    group = heads // key.shape[2]
    visibility = visibility.pad(-queries % tile.queries, -keys % tile.keys)
    plan = listed(may_meet(visibility, (tile.queries, tile.keys), ordered))
    arrays = _padded(tile, query, key, value, gradient, log_sum, shared)
    (_, padded_queries, _, width), length = arrays[0].shape, arrays[1].shape[1]
    of_query = pl.BlockSpec((None, tile.queries, None, width), lambda i, b, h: (b, i, h, 0))
    of_key = pl.BlockSpec((None, length, None, width), lambda i, b, h: (b, 0, h // group, 0))
    of_row = pl.BlockSpec((None, None, tile.queries), lambda i, b, h: (b, h, i))
    row = pl.BlockSpec((None, tile.queries), lambda i, b, h: (b, i))
    column = pl.BlockSpec((None, length), lambda i, b, h: (b, 0))
    dq = pl.pallas_call(
        functools.partial(_query_kernel, size=tile.keys, scale=features**-0.5, ordered=ordered),
        grid=(padded_queries // tile.queries, batch, heads),
        in_specs=[
            pl.BlockSpec((None, None, plan.shape[2]), lambda i, b, h: (b, i, 0)),
            *(of_query, of_key, of_key, of_query),
            *(of_row, of_row),
            *(row, row, column, column),
        ],
        out_specs=of_query,
        out_shape=jax.ShapeDtypeStruct(arrays[0].shape, query.dtype),
        compiler_params=triton.CompilerParams(num_warps=tile.warps, num_stages=tile.stages),
        interpret=interpret,
        name="flash_query_gradient",
    )(plan, *arrays, *visibility.queries, *visibility.keys)
    return dq[:, :queries, :, :features]


def _query_kernel(
    plan: Ref,
    query: Ref,
    key: Ref,
    value: Ref,
    gradient: Ref,
    log_sum: Ref,
    shared: Ref,
    segments: Ref,
    positions: Ref,
    key_segments: Ref,
    releases: Ref,
    query_gradient: Ref,
    *,
    size: int,
    scale: float,
    ordered: bool,
) -> None:
    """`query`, `gradient` `[block, features]`; `key`, `value` `[keys, features]`; `plan`: see `listed`."""
    q, dy, row_sum, row_shared = query[...], gradient[...], log_sum[...], shared[...]
    who = segments[...], positions[...]
    first = pl.program_id(0) * q.shape[0]

    def key_block(i: jax.Array, dq: jax.Array) -> jax.Array:
        start = plan[i + 1] * size
        here = pl.ds(start, size)
        k, v = key[here, :], value[here, :]
        seen = seen_pairs(who, (key_segments[here], releases[here]), start - first if ordered else None)
        _, dlogits = _weights(q, k, v, dy, row_sum, row_shared, seen, scale)
        return dq + product(dlogits.astype(k.dtype), k, 1, 0)

    dq = jax.lax.fori_loop(0, plan[0], key_block, jnp.zeros(q.shape, jnp.float32))
    query_gradient[...] = (dq * scale).astype(query_gradient.dtype)


def _weights(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    dy: jax.Array,
    log_sum: jax.Array,
    shared: jax.Array,
    seen: jax.Array,
    scale: float,
) -> tuple[jax.Array, jax.Array]:
    """Weights and the gradient of the scaled logits, both `[queries, keys]` in float32."""
    logits = product(q, k, 1, 1) * (scale * LOG2_E)
    weights = jnp.where(seen, jnp.exp2(logits - log_sum[:, None]), 0.0)
    return weights, weights * (product(dy, v, 1, 1) - shared[:, None])


def _key_gradients(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    gradient: jax.Array,
    log_sum: jax.Array,
    shared: jax.Array,
    visibility: Visibility,
    tile: Tile,
    ordered: bool,
    interpret: bool,
) -> tuple[jax.Array, jax.Array]:
    queries, features = query.shape[1], query.shape[3]
    batch, keys, kv_heads, _ = key.shape
    group = query.shape[2] // kv_heads
    visibility = visibility.pad(-queries % tile.queries, -keys % tile.keys)
    plan = listed(may_meet(visibility, (tile.queries, tile.keys), ordered).swapaxes(1, 2))
    arrays = _padded(tile, query, key, value, gradient, log_sum, shared)
    (_, length, _, width), padded_keys = arrays[0].shape, arrays[1].shape[1]
    of_query = pl.BlockSpec((None, length, group, width), lambda j, b, n: (b, 0, n, 0))
    of_key = pl.BlockSpec((None, tile.keys, None, width), lambda j, b, n: (b, j, n, 0))
    of_row = pl.BlockSpec((None, group, length), lambda j, b, n: (b, n, 0))
    row = pl.BlockSpec((None, length), lambda j, b, n: (b, 0))
    column = pl.BlockSpec((None, tile.keys), lambda j, b, n: (b, j))
    dk, dv = pl.pallas_call(
        functools.partial(_key_kernel, size=tile.queries, scale=features**-0.5, ordered=ordered),
        grid=(padded_keys // tile.keys, batch, kv_heads),
        in_specs=[
            pl.BlockSpec((None, None, plan.shape[2]), lambda j, b, n: (b, j, 0)),
            *(of_query, of_key, of_key, of_query),
            *(of_row, of_row),
            *(row, row, column, column),
        ],
        out_specs=[of_key, of_key],
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays[1:3]],
        compiler_params=triton.CompilerParams(num_warps=tile.warps, num_stages=tile.stages),
        interpret=interpret,
        name="flash_key_gradients",
    )(plan, *arrays, *visibility.queries, *visibility.keys)
    return dk[:, :keys, :, :features], dv[:, :keys, :, :features]


def _key_kernel(
    plan: Ref,
    query: Ref,
    key: Ref,
    value: Ref,
    gradient: Ref,
    log_sum: Ref,
    shared: Ref,
    segments: Ref,
    positions: Ref,
    key_segments: Ref,
    releases: Ref,
    key_gradient: Ref,
    value_gradient: Ref,
    *,
    size: int,
    scale: float,
    ordered: bool,
) -> None:
    """`query`, `gradient` `[queries, group, features]`; `key`, `value` `[block, features]`; `plan`: see `listed`."""
    k, v, whom = key[...], value[...], (key_segments[...], releases[...])
    first = pl.program_id(0) * k.shape[0]

    def head(g: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        def query_block(i: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            dk, dv = sums
            start = plan[i + 1] * size
            here = pl.ds(start, size)
            q, dy = query[here, g, :], gradient[here, g, :]
            seen = seen_pairs((segments[here], positions[here]), whom, first - start if ordered else None)
            weights, dlogits = _weights(q, k, v, dy, log_sum[g, here], shared[g, here], seen, scale)
            return dk + product(dlogits.astype(q.dtype), q, 0, 0), dv + product(weights.astype(dy.dtype), dy, 0, 0)

        return jax.lax.fori_loop(0, plan[0], query_block, sums)

    zero = jnp.zeros(k.shape, jnp.float32)
    dk, dv = jax.lax.fori_loop(0, query.shape[1], head, (zero, zero))
    key_gradient[...] = (dk * scale).astype(key_gradient.dtype)
    value_gradient[...] = dv.astype(value_gradient.dtype)
