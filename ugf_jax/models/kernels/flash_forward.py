"""Forward kernel of flash attention: one program a block of queries and head, a running softmax over blocks of keys."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from ugf_jax.models.kernels.block_plan import listed, may_meet
from ugf_jax.models.kernels.recompute import FLOOR, finish
from ugf_jax.models.kernels.tiles import Tile, pad
from ugf_jax.models.kernels.visibility import Visibility, may_see

LOG2_E = math.log2(math.e)  # devices have exp2 in hardware, so logits are taken to base 2
Ref = Any  # of an array in device memory; Pallas does not export the type


def forward(
    query: jax.Array, key: jax.Array, value: jax.Array, visibility: Visibility, tile: Tile, ordered: bool, interpret: bool
) -> tuple[jax.Array, jax.Array]:
    """Output `[batch, queries, heads, features]` and log2-sum-exp2 of the logits `[batch, heads, queries]`."""
    (batch, queries, heads, features), keys = query.shape, key.shape[1]
    group = heads // key.shape[2]
    tile = tile.fit(queries, keys)
    visibility = visibility.pad(-queries % tile.queries, -keys % tile.keys)
    query, key, value = pad(query, tile.queries), pad(key, tile.keys), pad(value, tile.keys)
    plan = listed(may_meet(visibility, (tile.queries, tile.keys), ordered))
    length, width = key.shape[1], key.shape[3]
    of_query = pl.BlockSpec((None, tile.queries, None, width), lambda i, b, h: (b, i, h, 0))
    of_key = pl.BlockSpec((None, length, None, width), lambda i, b, h: (b, 0, h // group, 0))
    row = pl.BlockSpec((None, tile.queries), lambda i, b, h: (b, i))
    column = pl.BlockSpec((None, length), lambda i, b, h: (b, 0))
    output, log_sum = pl.pallas_call(
        functools.partial(_kernel, size=tile.keys, scale=features**-0.5 * LOG2_E, ordered=ordered),
        grid=(query.shape[1] // tile.queries, batch, heads),
        in_specs=[
            pl.BlockSpec((None, None, plan.shape[2]), lambda i, b, h: (b, i, 0)),
            *(of_query, of_key, of_key),
            *(row, row, column, column),
        ],
        out_specs=[of_query, pl.BlockSpec((None, None, tile.queries), lambda i, b, h: (b, h, i))],
        out_shape=[
            jax.ShapeDtypeStruct(query.shape, query.dtype),
            jax.ShapeDtypeStruct((batch, heads, query.shape[1]), jnp.float32),
        ],
        compiler_params=triton.CompilerParams(num_warps=tile.warps, num_stages=tile.stages),
        interpret=interpret,
        name="flash_forward",
    )(plan, query, key, value, *visibility.queries, *visibility.keys)
    return output[:, :queries, :, :features], log_sum[:, :, :queries]


def _kernel(
    plan: Ref,
    query: Ref,
    key: Ref,
    value: Ref,
    segments: Ref,
    positions: Ref,
    key_segments: Ref,
    releases: Ref,
    output: Ref,
    log_sum: Ref,
    *,
    size: int,
    scale: float,
    ordered: bool,
) -> None:
    """`query`, `output` `[block, features]`; `key`, `value` `[keys, features]`; `plan`: see `listed`."""
    q, who = query[...], (segments[...], positions[...])
    first = pl.program_id(0) * q.shape[0]

    def key_block(i: jax.Array, sums: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        total, top, weighted = sums
        start = plan[i + 1] * size
        here = pl.ds(start, size)
        k, v = key[here, :], value[here, :]
        logits = product(q, k, 1, 1) * scale
        seen = seen_pairs(who, (key_segments[here], releases[here]), start - first if ordered else None)
        higher = jnp.maximum(top, jnp.max(jnp.where(seen, logits, FLOOR), axis=1))
        weights = jnp.where(seen, jnp.exp2(logits - higher[:, None]), 0.0)
        shrink = jnp.exp2(top - higher)
        added = product(weights.astype(v.dtype), v, 1, 0)
        return total * shrink + jnp.sum(weights, axis=1), higher, weighted * shrink[:, None] + added

    row = jnp.zeros(q.shape[:1], jnp.float32)
    total, top, weighted = jax.lax.fori_loop(0, plan[0], key_block, (row, row + FLOOR, jnp.zeros(q.shape, jnp.float32)))
    out, log_sum[...] = finish(total, top, weighted, log=jnp.log2)
    output[...] = out.astype(output.dtype)


def product(a: jax.Array, b: jax.Array, a_axis: int, b_axis: int) -> jax.Array:
    """Matrix product in float32 that sums over an axis of `a` and one of `b`."""
    return jax.lax.dot_general(a, b, (((a_axis,), (b_axis,)), ((), ())), preferred_element_type=jnp.float32)


def seen_pairs(who: tuple[jax.Array, ...], whom: tuple[jax.Array, ...], ahead: jax.Array | None) -> jax.Array:
    """Bool `[queries, keys]` from segments and positions, segments and releases.

    `ahead` is by how much the index of the first key exceeds that of the first query, where later keys are hidden.
    """
    seen = may_see(*(x[:, None] for x in who), *(x[None, :] for x in whom))
    if ahead is None:
        return seen
    return seen & (jnp.arange(seen.shape[0])[:, None] >= jnp.arange(seen.shape[1])[None, :] + ahead)
