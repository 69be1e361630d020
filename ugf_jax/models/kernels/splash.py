"""Attention on TPU by the splash kernel that comes with JAX. It knows no releases, so each rule is put in terms of indices.

Self-attention: in a row of documents packed in order, tokens of the same document up to the query are those of no later
position. Attention to sorted keys: of those that all see, a query sees the first ones; of those of its document, a range.
"""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jax.experimental.pallas.ops.tpu.splash_attention.splash_attention_mask_info import MaskInfo

from ugf_jax.models.kernels.recompute import SAVED
from ugf_jax.models.kernels.visibility import EVERY, LIMITS, Visibility

LANES = 128  # blocks are multiples of it
BLOCKS = (512, 384, 256)  # tokens of a block, the one preferred that pads least


def splash(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    visibility: Visibility,
    ordered: bool,
    sorted_keys: bool = False,
    blocks: tuple[int, ...] = BLOCKS,
    interpret: bool = False,
) -> jax.Array:
    """See `ugf_jax.models.visible.attend`; `visibility` must be what `ordered` or `sorted_keys` promises.

    A range takes 32 bits: of 8,191 sorted keys 63 may be such that all see, of 32,767, which is the most, three.

    Raises:
      ValueError: neither is promised, or too many keys.
    """
    if not (ordered or sorted_keys):
        raise ValueError("splash attention is for self-attention in packed rows (ordered) or sorted keys; want 'chunked'")
    queries, keys = query.shape[1], key.shape[1]
    block_q, block_kv = block_size(queries, blocks), block_size(keys, blocks)

    def heads_first(x: jax.Array, block: int) -> jax.Array:
        return jnp.pad(x, ((0, 0), (0, -x.shape[1] % block), (0, 0), (0, 0))).swapaxes(1, 2)

    scaled = (query * query.shape[-1] ** -0.5).astype(query.dtype)
    arrays = heads_first(scaled, block_q), heads_first(key, block_kv), heads_first(value, block_kv)
    sizes = kernel.BlockSizes(
        block_q=block_q,
        block_kv=block_kv,
        block_q_dkv=block_q,
        block_kv_dkv=block_kv,
        use_fused_bwd_kernel=True,  # five products instead of seven; gradients of queries are summed over blocks of keys
    )
    rows = ((0, 0), (0, -queries % block_q))
    if ordered:
        segments = jnp.pad(visibility.query_segments, rows, constant_values=LIMITS.min)
        output = _causal(sizes, interpret)(*arrays, segments)
        return output.swapaxes(1, 2)[:, :queries]
    ranges, blind = key_ranges(visibility)
    output = _in_ranges(sizes, keys, interpret)(*arrays, jnp.pad(ranges, rows))
    return jnp.where(blind[:, :, None, None], 0, output.swapaxes(1, 2)[:, :queries])


def block_size(length: int, blocks: tuple[int, ...] = BLOCKS) -> int:
    """The size that pads `length` least, the first of several that are as good."""
    whole = -(-length // LANES) * LANES
    return min((whole, *blocks) if whole <= max(blocks) else blocks, key=lambda size: -length % size)


def key_ranges(visibility: Visibility) -> tuple[jax.Array, jax.Array]:
    """What each query sees of sorted keys, and whether that is nothing; int32 and bool `[batch, queries]`.

    A range has, from its highest bits: how many of the first keys are seen (which all see), where the keys of the document
    begin, and where those end that are released.
    """
    segments, positions = (x[:, :, None] for x in visibility.queries)
    key_segments, releases = (x[:, None, :] for x in visibility.keys)
    bits = _bits(releases.shape[-1])

    def count(x: jax.Array) -> jax.Array:
        return jnp.sum(x, axis=-1, dtype=jnp.int32)

    released = positions >= releases
    common = count((key_segments == EVERY) & released)
    own = count((key_segments == segments) & released)
    places = jnp.where(key_segments == segments, jnp.arange(releases.shape[-1]), LIMITS.max)
    start = jnp.where(own > 0, jnp.min(places, axis=-1), 0)
    ranges = (common << 2 * bits) | (start << bits) | (start + own)
    return ranges, common + own == 0


def _bits(keys: int) -> int:
    """Bits that an index of a key, or their number, takes."""
    bits = keys.bit_length()
    if 2 * bits >= 32:
        raise ValueError(f"splash attention to {keys} sorted keys; want at most 32767, or 'chunked'")
    return bits


@functools.cache  # the kernel is compiled anew for another function
def _in_range(bits: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    def seen(ranges: jax.Array, index: jax.Array) -> jax.Array:
        def part(shift: int, mask: int) -> jax.Array:
            return jax.lax.shift_right_logical(ranges, jnp.int32(shift)) & mask

        most = (1 << bits) - 1
        own = (index >= part(bits, most)) & (index < part(0, most))
        return own | (index < part(2 * bits, (1 << 32 - 2 * bits) - 1))

    return seen


def _in_ranges(sizes: kernel.BlockSizes, keys: int, interpret: bool) -> Callable[..., jax.Array]:
    """A function of query, key, value, all heads first, and ranges."""

    def attention(query: jax.Array, key: jax.Array, value: jax.Array, ranges: jax.Array) -> Any:
        # Where blocks that nobody sees lie differs from row to row: all are visited.
        nothing: dict[str, Any] = dict.fromkeys(("data_next", "mask_next", "block_mask", "partial_mask_blocks"))
        info = MaskInfo(**nothing, q_sequence=cast(Any, ranges))  # annotated as numpy, where it may as well be traced
        run = kernel.SplashAttentionKernel(
            info,
            None,
            info,
            block_sizes=sizes,
            is_mqa=False,
            save_residuals=False,
            mask_value=kernel.DEFAULT_MASK_VALUE,
            attn_logits_soft_cap=None,
            residual_checkpoint_name=SAVED,
            mask_function=_in_range(_bits(keys)),
            interpret=interpret,
        )
        return run(query, key, value)

    return jax.vmap(attention)


def _causal(sizes: kernel.BlockSizes, interpret: bool) -> Callable[..., jax.Array]:
    """A function of query, key, value, all heads first, and segments."""

    def attention(query: jax.Array, key: jax.Array, value: jax.Array, segments: jax.Array) -> Any:
        heads, tokens, _ = query.shape
        run = kernel.make_splash_mha(
            masks.MultiHeadMask([masks.CausalMask((tokens, tokens))] * heads),
            block_sizes=sizes,
            head_shards=1,
            q_seq_shards=1,
            interpret=interpret,
            residual_checkpoint_name=SAVED,
        )
        return run(query, key, value, kernel.SegmentIds(segments, segments))

    return jax.vmap(attention)
