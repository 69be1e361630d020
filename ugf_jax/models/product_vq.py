"""Product quantization (Jégou et al. 2011): parts of a vector have codebooks of their own, a code names an entry of each."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.vq import VQ


class ProductVQ(nn.Module):
    """A `VQ` for each part, `part_0` and so on; the entry of the first part counts ones, as the first level of `FSQ`.

    Attributes:
      sizes: number of codes of each part; there are as many codes as their product.
      features: of each part.
      commitment: as of `VQ`, and so the others.
    """

    sizes: tuple[int, ...]
    features: tuple[int, ...]
    commitment: float = 0.25
    decay: float = 0.99
    restart: float = 0.1

    def setup(self) -> None:
        self.part = [
            VQ(size, features, self.commitment, self.decay, self.restart)
            for size, features in zip(self.sizes, self.features, strict=True)
        ]

    def __call__(
        self, x: jax.Array, weights: jax.Array | None = None, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Quantizes `[..., sum of features]`; arguments and results as `VQ`, the loss summed over parts."""
        keys = [None] * len(self.part) if key is None else list(jax.random.split(key, len(self.part)))
        found = [
            codebook(piece, weights, part_key)
            for codebook, piece, part_key in zip(self.part, self._pieces(x), keys, strict=True)
        ]
        values, digits, losses = zip(*found, strict=True)
        index = sum((digit * one for digit, one in zip(digits, self._ones(), strict=True)), jnp.int32(0))
        return jnp.concatenate(values, axis=-1), index, sum(losses, jnp.zeros(()))

    def lookup(self, index: jax.Array) -> jax.Array:
        """Values `[..., sum of features]` of codes `[...]`."""
        digits = [index // one % size for one, size in zip(self._ones(), self.sizes, strict=True)]
        return jnp.concatenate([codebook.lookup(digit) for codebook, digit in zip(self.part, digits, strict=True)], axis=-1)

    def _pieces(self, x: jax.Array) -> list[jax.Array]:
        return jnp.split(x, np.cumsum(self.features)[:-1].tolist(), axis=-1)

    def _ones(self) -> list[int]:
        """What one of each part counts in a code."""
        return np.cumprod((1, *self.sizes[:-1])).tolist()
