"""Finite scalar quantization (Mentzer et al. 2023): each feature is rounded to a few levels; there is no codebook to learn."""

import math

import jax
import jax.numpy as jnp
import numpy as np


class FSQ:
    """Rounds each of `len(levels)` features to equal bins of (-1, 1); the code is their mixed-radix number.

    A feature is squashed by `tanh` and falls into one of its `L` bins, all equally wide; the value is the bin's centre.
    (The paper rounds to the ends of the range, which makes the two outer bins half as wide as the others.)
    """

    def __init__(self, levels: tuple[int, ...]):
        self.levels = levels
        self.size = math.prod(levels)
        self.features = len(levels)

    def __call__(
        self, x: jax.Array, weights: jax.Array | None = None, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Quantizes; the gradient passes the rounding unchanged.

        Args:
          x: float32 `[..., features]`, best with mean square near 1.
          weights: not used; other quantizers have it.
          key: not used; other quantizers have it.

        Returns:
          values `[..., features]`, equal to `lookup(index)`, with gradient 1 - tanh(x)²; index int32 `[...]`; no loss (0).
        """
        squashed = jnp.tanh(x)
        levels = jnp.asarray(self.levels, jnp.float32)
        bins = jnp.clip(jnp.floor((squashed + 1) / 2 * levels), 0, levels - 1).astype(jnp.int32)
        value = self._centres(bins) + (squashed - jax.lax.stop_gradient(squashed))
        return value, jnp.sum(bins * jnp.asarray(self._radix()), axis=-1), jnp.zeros(())

    def lookup(self, index: jax.Array) -> jax.Array:
        """Values `[..., features]` of codes `[...]`."""
        bins = index[..., None] // jnp.asarray(self._radix()) % jnp.asarray(self.levels, jnp.int32)
        return self._centres(bins)

    def _centres(self, bins: jax.Array) -> jax.Array:
        return (2 * bins + 1).astype(jnp.float32) / jnp.asarray(self.levels, jnp.float32) - 1

    def _radix(self) -> np.ndarray:
        """Place value of each feature's bin."""
        return np.cumprod((1, *self.levels[:-1])).astype(np.int32)
