"""Self-attention in packed rows on TPU, by the splash kernel that comes with JAX.

It knows documents and the order of indices but no releases. In a row of documents packed in order that is the same rule:
of the same document, the tokens up to the query are those of no later position.
"""

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

from ugf_jax.models.kernels.recompute import SAVED
from ugf_jax.models.kernels.visibility import LIMITS, Visibility

LANES = 128  # blocks are multiples of it
BLOCK = 512  # tokens of a block at most


def splash(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    visibility: Visibility,
    ordered: bool,
    block: int = BLOCK,
    interpret: bool = False,
) -> jax.Array:
    """See `ugf_jax.models.visible.attend`; `visibility` must be `Visibility.causal` of rows packed in order.

    Raises:
      ValueError: `ordered` is False, which says that this is something else than self-attention.
    """
    if not ordered:
        raise ValueError("splash attention is for self-attention in packed rows (ordered); want 'chunked' for other attention")
    _, tokens, heads, features = query.shape
    size = min(block, -(-tokens // LANES) * LANES)
    rest = -tokens % size
    segments = jnp.pad(visibility.query_segments, ((0, 0), (0, rest)), constant_values=LIMITS.min)

    def heads_first(x: jax.Array) -> jax.Array:
        return jnp.pad(x, ((0, 0), (0, rest), (0, 0), (0, 0))).swapaxes(1, 2)

    mask = masks.MultiHeadMask([masks.CausalMask((tokens + rest, tokens + rest))] * heads)
    sizes = kernel.BlockSizes(
        block_q=size,
        block_kv=size,
        block_q_dkv=size,
        block_kv_dkv=size,
        block_q_dq=size,
        block_kv_dq=size,
    )
    attention = kernel.make_splash_mha(
        mask, block_sizes=sizes, head_shards=1, q_seq_shards=1, interpret=interpret, residual_checkpoint_name=SAVED
    )
    scaled = (query * features**-0.5).astype(query.dtype)
    arrays = (heads_first(scaled), heads_first(key), heads_first(value))
    output = jax.vmap(lambda q, k, v, s: attention(q, k, v, kernel.SegmentIds(s, s)))(*arrays, segments)
    return output.swapaxes(1, 2)[:, :tokens]
