"""Codes as numbers of several digits, one for each feature of a finite scalar quantizer."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.quantizers import QuantizerSettings


@dataclasses.dataclass(frozen=True)
class Digits:
    """How codes are split into digits, the first counting ones (as `FSQ` composes them).

    The values of all digits have numbers of their own, from 0 to `values`: digit `n` with value `v` is `offsets[n] + v`.

    Attributes:
      bases: how many values each digit has.
    """

    bases: tuple[int, ...]

    @classmethod
    def of(cls, quantizer: QuantizerSettings, split: bool = True) -> "Digits":
        """Those of a quantizer's codes: one for each FSQ feature if `split`, else, as for learned codebooks, a single one."""
        return cls(quantizer.levels if split and quantizer.kind == "fsq" else (quantizer.codebook_size,))

    @property
    def values(self) -> int:
        """Values of all digits together."""
        return sum(self.bases)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where the values of each digit begin."""
        return tuple(sum(self.bases[:n]) for n in range(len(self.bases)))

    @property
    def earlier(self) -> np.ndarray:
        """Float `[values, values]`: 1 where the first value belongs to an earlier digit than the second, else 0."""
        digit = np.repeat(np.arange(len(self.bases)), self.bases)
        return (digit[:, None] < digit[None, :]).astype(np.float32)

    def split(self, index: jax.Array) -> jax.Array:
        """Codes `[...]` to digits `[..., digits]`."""
        return index[..., None] // self._places() % np.array(self.bases, np.int32)

    def join(self, digits: jax.Array) -> jax.Array:
        """Inverse of `split`."""
        return jnp.sum(digits * self._places(), axis=-1)

    def rows(self, index: jax.Array) -> jax.Array:
        """Codes `[...]` to the numbers of their digits' values `[..., digits]`."""
        return self.split(index) + np.array(self.offsets, np.int32)

    def parts(self, logits: jax.Array) -> list[jax.Array]:
        """`[..., values]` to one `[..., base]` for each digit."""
        return jnp.split(logits, self.offsets[1:], axis=-1)

    def _places(self) -> np.ndarray:
        """What one of each digit counts."""
        return np.array([math.prod(self.bases[:n]) for n in range(len(self.bases))], np.int32)
