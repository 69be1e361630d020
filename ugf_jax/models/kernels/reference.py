"""Attention as it is defined, with a dense mask: what the other implementations are held to, and the fastest when small."""

import jax
import jax.numpy as jnp

from ugf_jax.models.kernels.visibility import Visibility


def reference(query: jax.Array, key: jax.Array, value: jax.Array, visibility: Visibility, ordered: bool) -> jax.Array:
    """See `ugf_jax.models.visible.attend`. Memory: queries × keys × heads."""
    batch, queries, heads, features = query.shape
    kv_heads = key.shape[2]
    # Heads are moved ahead of positions once, for all products: quicker to compile and to run on a CPU.
    q = query.reshape(batch, queries, kv_heads, heads // kv_heads, features).transpose(0, 2, 3, 1, 4)
    k, v = key.swapaxes(1, 2), value.swapaxes(1, 2)
    logits = jnp.einsum("bngqd,bnkd->bngqk", q, k, preferred_element_type=jnp.float32) * features**-0.5
    logits = jnp.where(visibility.sees(ordered)[:, None, None], logits, -jnp.inf)
    top = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - jnp.where(jnp.isfinite(top), top, 0))  # a row that sees nothing: all zero
    total = jnp.sum(weights, axis=-1, keepdims=True)
    weights = weights / jnp.where(total > 0, total, 1)
    output = jnp.einsum("bngqk,bnkd->bngqd", weights.astype(value.dtype), v, preferred_element_type=jnp.float32)
    return output.astype(query.dtype).transpose(0, 3, 1, 2, 4).reshape(query.shape)
