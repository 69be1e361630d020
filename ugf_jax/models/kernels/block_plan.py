"""Which blocks of keys hold anything that a block of queries may see: kernels visit those and no others."""

import jax
import jax.numpy as jnp

from ugf_jax.models.kernels.visibility import EVERY, LIMITS, Visibility


def may_meet(visibility: Visibility, sizes: tuple[int, int], ordered: bool) -> jax.Array:
    """Bool `[batch, query blocks, key blocks]`: False where no query of the block sees any key of the other.

    Decided from the range of segments, the greatest position and the least release of each block, so True may be wrong.
    Blocks of `sizes` (queries, keys) divide the lengths.
    """

    def blocks(x: jax.Array, size: int) -> jax.Array:
        return x.reshape(x.shape[0], -1, size)

    segments, positions = (blocks(x, sizes[0]) for x in visibility.queries)
    key_segments, releases = (blocks(x, sizes[1]) for x in visibility.keys)
    common = key_segments == EVERY
    # Keys that all see or nobody sees do not widen the range of a block's own documents.
    own = ~common & (releases < LIMITS.max)
    least = jnp.min(jnp.where(own, key_segments, LIMITS.max), axis=-1)
    greatest = jnp.max(jnp.where(own, key_segments, LIMITS.min), axis=-1)

    def against(x: jax.Array) -> jax.Array:
        return x[:, None, :]

    shared = (jnp.max(segments, -1)[:, :, None] >= against(least)) & (jnp.min(segments, -1)[:, :, None] <= against(greatest))
    met = (shared | against(common.any(-1))) & (jnp.max(positions, -1)[:, :, None] >= against(jnp.min(releases, -1)))
    if ordered:
        last_query = (jnp.arange(met.shape[1]) + 1) * sizes[0] - 1
        met &= jnp.arange(met.shape[2]) * sizes[1] <= last_query[:, None]
    return met


def listed(met: jax.Array) -> jax.Array:
    """Bool `[batch, blocks, others]` to int32 `[batch, blocks, 1 + others]`: how many are True, then their indices in order."""
    order = jnp.argsort(~met, axis=-1, stable=True)
    count = jnp.sum(met, axis=-1, keepdims=True)
    return jnp.concatenate([count, order], axis=-1).astype(jnp.int32)
