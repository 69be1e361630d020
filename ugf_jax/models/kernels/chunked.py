"""Attention in blocks with a running softmax, in plain XLA: memory linear in queries and in keys, on every device."""

import functools

import jax
import jax.numpy as jnp

from ugf_jax.models.kernels.recompute import FLOOR, finish, recomputing
from ugf_jax.models.kernels.visibility import Visibility, may_see

BLOCK = 512  # queries and keys of a block at most
CPU_BLOCK = 128  # what stays in a core's cache: a third less time than 512
Pair = tuple[jax.Array, jax.Array]
LANES = 128  # blocks are multiples of it where there are several: what matrix units and vector registers like


def chunked(
    query: jax.Array, key: jax.Array, value: jax.Array, visibility: Visibility, ordered: bool, block: int = BLOCK
) -> jax.Array:
    """See `ugf_jax.models.visible.attend`. Memory beside the arrays: batch × heads × block × block, and a number a query."""
    sizes = block_size(query.shape[1], block), block_size(key.shape[1], block)
    forward = functools.partial(_forward, ordered=ordered, sizes=sizes)
    backward = functools.partial(_backward, ordered=ordered, sizes=sizes)
    return recomputing(forward, backward)(query, key, value, visibility)


def block_size(length: int, block: int) -> int:
    """The size at most `block` that cuts `length` evenly, up to rounding to whole lanes."""
    even = -(-length // -(-length // block))
    return even if even == length or block % LANES else -(-even // LANES) * LANES


def _forward(
    query: jax.Array, key: jax.Array, value: jax.Array, visibility: Visibility, ordered: bool, sizes: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Output like `query` and log-sum-exp `[blocks, batch, kv heads, group, block]`."""
    kv_heads = key.shape[2]
    visibility = _padded(visibility, sizes)
    queries = (_split_queries(query, kv_heads, sizes[0]), *(_split_rows(x, sizes[0]) for x in visibility.queries))
    keys = (_split_keys(key, sizes[1]), _split_keys(value, sizes[1]), *(_split_rows(x, sizes[1]) for x in visibility.keys))
    count = keys[0].shape[0]

    def query_block(index: jax.Array, block: tuple[jax.Array, ...]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        q, *who = block

        def key_block(j: jax.Array, sums: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            total, top, weighted = sums
            k, v, *whom = (x[j] for x in keys)
            logits, seen = _logits(q, who, k, whom, (index, j) if ordered else None)
            higher = jnp.maximum(top, jnp.max(logits, axis=-1, initial=FLOOR, where=seen))
            weights = jnp.where(seen, jnp.exp(logits - higher[..., None]), 0)
            shrink = jnp.exp(top - higher)
            total = total * shrink + jnp.sum(weights, axis=-1)
            added = jnp.einsum("bngqk,bnkd->bngqd", weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
            return total, higher, weighted * shrink[..., None] + added

        row = jnp.zeros(q.shape[:-1], jnp.float32)
        last = jnp.minimum(count, ((index + 1) * sizes[0] - 1) // sizes[1] + 1) if ordered else count
        sums = jax.lax.fori_loop(0, last, key_block, (row, row + FLOOR, jnp.zeros(q.shape, jnp.float32)))
        output, log_sum = finish(*sums)
        return index + 1, (output.astype(query.dtype), log_sum)

    _, (output, log_sum) = jax.lax.scan(query_block, jnp.int32(0), queries)
    return _join_queries(output, query.shape), log_sum


def _backward(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    visibility: Visibility,
    output: jax.Array,
    log_sum: jax.Array,
    gradient: jax.Array,
    ordered: bool,
    sizes: tuple[int, int],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients of query, key and value (Dao et al. 2022, appendix B.4): key blocks outside, query blocks inside."""
    kv_heads, scale = key.shape[2], query.shape[-1] ** -0.5
    visibility = _padded(visibility, sizes)
    # What the normalisation of a row takes back: sum over keys of weight × its gradient.
    shared = jnp.sum(output.astype(jnp.float32) * gradient.astype(jnp.float32), axis=-1, keepdims=True)
    queries = (
        *(_split_queries(x, kv_heads, sizes[0]) for x in (query, gradient)),
        log_sum,
        _split_queries(shared, kv_heads, sizes[0])[..., 0],
        *(_split_rows(x, sizes[0]) for x in visibility.queries),
    )
    keys = (_split_keys(key, sizes[1]), _split_keys(value, sizes[1]), *(_split_rows(x, sizes[1]) for x in visibility.keys))
    count = queries[0].shape[0]

    def key_block(carry: Pair, block: tuple[jax.Array, ...]) -> tuple[Pair, Pair]:
        index, dq = carry
        k, v, *whom = block

        def query_block(i: jax.Array, sums: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            dq, dk, dv = sums
            q, dy, log_sum, shared, *who = (x[i] for x in queries)
            logits, seen = _logits(q, who, k, whom, (i, index) if ordered else None)
            weights = jnp.where(seen, jnp.exp(logits - log_sum[..., None]), 0)
            dweights = jnp.einsum("bngqd,bnkd->bngqk", dy, v, preferred_element_type=jnp.float32)
            dlogits = (weights * (dweights - shared[..., None]) * scale).astype(q.dtype)
            dv += jnp.einsum("bngqk,bngqd->bnkd", weights.astype(dy.dtype), dy, preferred_element_type=jnp.float32)
            dk += jnp.einsum("bngqk,bngqd->bnkd", dlogits, q, preferred_element_type=jnp.float32)
            dq = dq.at[i].add(jnp.einsum("bngqk,bnkd->bngqd", dlogits, k, preferred_element_type=jnp.float32))
            return dq, dk, dv

        first = index * sizes[1] // sizes[0] if ordered else 0
        zero = jnp.zeros(k.shape, jnp.float32)
        sums = jax.lax.fori_loop(first, count, query_block, (dq, zero, zero))
        return (index + 1, sums[0]), (sums[1].astype(key.dtype), sums[2].astype(value.dtype))

    start = jnp.int32(0), jnp.zeros(queries[0].shape, jnp.float32)
    (_, dq), (dk, dv) = jax.lax.scan(key_block, start, keys)
    return _join_queries(dq, query.shape).astype(query.dtype), _join_keys(dk, key.shape), _join_keys(dv, value.shape)


def _logits(
    q: jax.Array, who: list[jax.Array], k: jax.Array, whom: list[jax.Array], blocks: tuple[jax.Array, jax.Array] | None
) -> tuple[jax.Array, jax.Array]:
    """Logits `[batch, kv heads, group, queries, keys]` of two blocks and, with ones for the heads, which key is seen.

    `blocks` are the numbers of the two blocks where keys of a later index are hidden.
    """
    logits = jnp.einsum("bngqd,bnkd->bngqk", q, k, preferred_element_type=jnp.float32) * q.shape[-1] ** -0.5
    seen = may_see(*(x[:, :, None] for x in who), *(x[:, None, :] for x in whom))
    if blocks is not None:
        after = blocks[1] * k.shape[-2] - blocks[0] * q.shape[-2]
        seen &= jnp.arange(q.shape[-2])[:, None] >= jnp.arange(k.shape[-2]) + after
    return logits, seen[:, None, None]


def _padded(visibility: Visibility, sizes: tuple[int, int]) -> Visibility:
    queries, keys = visibility.query_segments.shape[1], visibility.key_segments.shape[1]
    return visibility.pad(-queries % sizes[0], -keys % sizes[1])


def _split_rows(x: jax.Array, size: int) -> jax.Array:
    """`[batch, length, ...]` to `[blocks, batch, size, ...]`; zeros fill the last block."""
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % size), *((0, 0) for _ in x.shape[2:])))
    return jnp.moveaxis(x.reshape(x.shape[0], -1, size, *x.shape[2:]), 1, 0)


def _split_keys(x: jax.Array, size: int) -> jax.Array:
    """`[batch, keys, kv heads, features]` to `[blocks, batch, kv heads, size, features]`."""
    return jnp.moveaxis(_split_rows(x, size), 2, 3)


def _join_keys(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Inverse of `_split_keys`, to `shape`."""
    return x.transpose(1, 0, 3, 2, 4).reshape(shape[0], -1, *shape[2:])[:, : shape[1]]


def _split_queries(x: jax.Array, kv_heads: int, size: int) -> jax.Array:
    """`[batch, queries, heads, features]` to `[blocks, batch, kv heads, group, size, features]`."""
    x = _split_rows(x.reshape(*x.shape[:2], kv_heads, -1, x.shape[-1]), size)
    return x.transpose(0, 1, 3, 4, 2, 5)


def _join_queries(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Inverse of `_split_queries`, to `shape`."""
    return x.transpose(1, 0, 4, 2, 3, 5).reshape(shape[0], -1, *shape[2:])[:, : shape[1]]
