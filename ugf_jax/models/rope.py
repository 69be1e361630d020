"""Rotary position embedding (Su et al. 2021), in one dimension for text and in two for image grids."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from ugf_jax.config import POSITIVE, one_of, setting
from ugf_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How a model that learned with short texts turns in long ones: slow rotations become slower, by `factor`."""

    kind: str = setting("llama3", one_of("llama3", "linear"), "linear: all rotations; llama3: the slow ones (Llama 3.1)")
    factor: float = setting(8.0, POSITIVE, "how many times slower")
    low: float = setting(1.0, POSITIVE, "llama3: rotations with fewer turns than this in `original` positions are scaled")
    high: float = setting(4.0, POSITIVE, "llama3: those with more are not; in between both are mixed")
    original: int = setting(8192, POSITIVE, "llama3: positions of the texts that the model learned with first")

    def validate(self, path: str) -> None:
        """Refuses bounds in the wrong order."""
        if self.kind == "llama3" and self.low >= self.high:
            raise InputError(f"{path}.low is {self.low}; want it below {path}.high, {self.high}")

    def scaled(self, frequencies: jax.Array) -> jax.Array:
        """Radians a position, from those without scaling."""
        if self.kind == "linear":
            return frequencies / self.factor
        turns = self.original * frequencies / (2 * math.pi)
        kept = jnp.clip((turns - self.low) / (self.high - self.low), 0, 1)
        return kept * frequencies + (1 - kept) * frequencies / self.factor


def angles(positions: jax.Array, features: int, base: float = 10_000.0, scaling: RopeScaling | None = None) -> jax.Array:
    """Rotation angles `[..., features / 2]` in float32 of integer or real positions `[...]`."""
    if features % 2:
        raise ValueError(f"rotary embedding of {features} features; want an even number")
    frequencies = base ** (-jnp.arange(0, features, 2, dtype=jnp.float32) / features)
    if scaling is not None:
        frequencies = scaling.scaled(frequencies)
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
