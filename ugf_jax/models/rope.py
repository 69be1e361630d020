"""Rotary position embedding (Su et al. 2021), in one dimension for text and in two for image grids."""

import jax
import jax.numpy as jnp


def angles(positions: jax.Array, features: int, base: float = 10_000.0) -> jax.Array:
    """Rotation angles `[..., features / 2]` in float32 of integer or real positions `[...]`."""
    if features % 2:
        raise ValueError(f"rotary embedding of {features} features; want an even number")
    frequencies = base ** (-jnp.arange(0, features, 2, dtype=jnp.float32) / features)
    return positions.astype(jnp.float32)[..., None] * frequencies


def grid_angles(rows: jax.Array, columns: jax.Array, features: int, base: float = 100.0) -> jax.Array:
    """Angles `[..., features / 2]` of grid cells: half of the features turn with the row, half with the column.

    The base is small because a window or a 256 px image spans few cells; `features` must be a multiple of 4.
    """
    if features % 4:
        raise ValueError(f"two-dimensional rotary embedding of {features} features; want a multiple of 4")
    return jnp.concatenate([angles(rows, features // 2, base), angles(columns, features // 2, base)], axis=-1)


def rotate(x: jax.Array, angle: jax.Array) -> jax.Array:
    """Turns the pairs `(x[i], x[i + features / 2])` of `x` by `angle`, computed in float32.

    Args:
      x: `[..., positions, heads, features]`.
      angle: `[..., positions, features / 2]`, broadcast over the heads.
    """
    cos, sin = jnp.cos(angle)[..., None, :], jnp.sin(angle)[..., None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)
