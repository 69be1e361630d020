"""Keys and values of auxiliary memory, computed once an image and read by every token after it."""

import functools

import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.generation.layout import CrossWeights, DecodeWeights, head_norm
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.fusion_block import Memory
from ugf_jax.models.linear import matmul

UNSEEN = jnp.iinfo(jnp.int32).max


@flax.struct.dataclass
class KeptMemory:
    """What cross-attention reads; a memory may be shared by several rows (samples of one prompt).

    Attributes:
      layers: keys and values of each cross-attention, `[memories, kv heads, 1 + positions, features]`, the null key first.
      releases: int32 `[memories, 1 + positions]`, first position of the document that sees each; 0 for the null key.
    """

    layers: tuple[tuple[jax.Array, jax.Array], ...]
    releases: jax.Array


def keep(settings: FusionSettings, weights: DecodeWeights, memory: Memory) -> KeptMemory:
    """Keys and values of `memory`, each row of which is of one document (segment 0: padding)."""
    layers = tuple(_layer(settings, cross, memory.values) for _, cross in weights.groups if cross is not None)
    releases = jnp.where(memory.segments > 0, memory.releases, UNSEEN)
    return KeptMemory(layers, jnp.pad(releases, ((0, 0), (1, 0))))


def _layer(settings: FusionSettings, cross: CrossWeights, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    def heads(kernel: jax.Array) -> jax.Array:
        y = matmul(values, kernel)
        return y.reshape(*y.shape[:2], settings.block.kv_heads, -1)

    def after(null: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.concatenate([jnp.broadcast_to(null, (len(y), 1, *null.shape)), y], axis=1).swapaxes(1, 2)

    key = head_norm(heads(cross.key), cross.key_norm, settings.epsilon)
    return after(cross.null_key, key), after(cross.null_value, heads(cross.value))


@functools.partial(jax.jit, static_argnums=3)
def keep_more(kept: KeptMemory, more: KeptMemory, start: jax.Array, room: int) -> KeptMemory:
    """Adds the memory of further images; one that was shared becomes one for each row of `more`.

    Args:
      kept: what there is.
      more: of each row; its unseen positions may be overwritten later.
      start: int32 `[rows]`, after how many positions of each row to add; `start` and the positions of `more` fit in `room`.
      room: positions of the result.
    """
    times = more.releases.shape[0] // kept.releases.shape[0]

    def add(old: jax.Array, new: jax.Array, axis: int, fill: int) -> jax.Array:
        padding = [(0, 0)] * old.ndim
        padding[axis] = (0, 1 + room - old.shape[axis])
        old = jnp.pad(jnp.repeat(old, times, axis=0), padding, constant_values=fill)
        fresh = jax.lax.slice_in_dim(new, 1, None, axis=axis)  # without its null key
        write = functools.partial(jax.lax.dynamic_update_slice_in_dim, axis=axis - 1)
        return jax.vmap(write)(old, fresh, 1 + start)

    layers = tuple(
        (add(old_key, key, 2, 0), add(old_value, value, 2, 0))
        for (old_key, old_value), (key, value) in zip(kept.layers, more.layers, strict=True)
    )
    return KeptMemory(layers, add(kept.releases, more.releases, 1, UNSEEN))
