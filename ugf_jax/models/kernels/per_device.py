"""Kernels under a mesh: the compiler cannot split a kernel, so each device runs it on its own rows and heads."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from ugf_jax.models.kernels.visibility import Visibility

BATCH_AXES = ("data", "fsdp")
HEAD_AXIS = "tensor"

Attention = Callable[[jax.Array, jax.Array, jax.Array, Visibility], jax.Array]


def platform() -> str:
    """What is compiled for: the current mesh's devices (they may be described only), else this process's own."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


def per_device(attention: Attention, query: jax.Array, key: jax.Array, value: jax.Array, visibility: Visibility) -> jax.Array:
    """`attention` of the arrays, rows split over the axes `data` and `fsdp` of the current mesh and heads over `tensor`.

    Axes whose size does not divide the rows (the heads) are left out: their devices repeat the same work. Where there are
    too few kv heads for `tensor`, they are repeated.
    """
    mesh = jax.sharding.get_abstract_mesh()
    free = {axis: size for axis, size in mesh.shape.items() if axis not in mesh.manual_axes}
    batch, heads, kv_heads = query.shape[0], query.shape[2], key.shape[2]
    rows: tuple[str, ...] = ()
    for axis in BATCH_AXES:
        if axis in free and batch % (math.prod(free[a] for a in rows) * free[axis]) == 0:
            rows = (*rows, axis)
    parts = free.get(HEAD_AXIS, 1)
    repeats = parts // math.gcd(parts, kv_heads)
    split_heads = parts > 1 and heads % (kv_heads * repeats) == 0
    if not free:
        return attention(query, key, value, visibility)
    if split_heads and repeats > 1:
        key, value = jnp.repeat(key, repeats, axis=2), jnp.repeat(value, repeats, axis=2)
    arrays = P(rows or None, None, HEAD_AXIS if split_heads else None, None)
    mapped = jax.shard_map(
        attention,
        in_specs=(arrays, arrays, arrays, P(rows or None, None)),
        out_specs=arrays,
        axis_names=set(free),  # axes of size 1 too: none may be left to the compiler
        check_vma=False,  # kernels do not say what varies over which axis
    )
    return mapped(query, key, value, visibility)
