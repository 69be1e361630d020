"""The auxiliary tokenizer: codes of what the coarse image lacks, at native resolution and at a cost linear in pixels."""

import dataclasses
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.config import FRACTION, NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.errors import InputError
from ugf_jax.models.blocks import GridStack
from ugf_jax.models.master import check_heads
from ugf_jax.models.patches import OverlappingPatches, PatchEmbedding, split_patches
from ugf_jax.models.quantizers import Quantized, Quantizer, QuantizerSettings


@dataclasses.dataclass(frozen=True)
class AuxiliarySettings:
    """Size of the auxiliary tokenizer, what it may skip, and how it is hardened in training."""

    patch: int = setting(16, POSITIVE, "pixels a side of one position")
    window: int = setting(8, POSITIVE, "positions a side of an attention window")
    width: int = setting(512, POSITIVE, "features of a token")
    depth: int = setting(8, POSITIVE, "blocks in the encoder, and again in the decoder; even")
    heads: int = setting(8, POSITIVE, "attention heads")
    groups: int = setting(4, POSITIVE, "codes a position")
    quantizer: QuantizerSettings = setting(QuantizerSettings())
    levels: int = setting(1, POSITIVE, "resolutions coded, each half of the next; the last is the image's own")
    keep: float = setting(1.0, FRACTION, "budget: the part of the positions with the most energy that is coded")
    threshold: float = setting(0.0, NOT_NEGATIVE, "positions whose mean squared residual is below this are skipped")
    master_corruption: float = setting(0.15, FRACTION, "training: up to this part of an image's master codes made random")
    dropout: float = setting(0.15, FRACTION, "training: part of the images that lose all auxiliary codes")
    sparsity: float = setting(0.25, FRACTION, "training: part of the images coded on a random smaller budget")

    def validate(self, path: str) -> None:
        """Raises InputError for sizes that do not fit together."""
        check_heads(self.width, self.heads, path)
        if self.depth % 2:
            raise InputError(f"{path}.depth is {self.depth}; want an even number, every second layer has shifted windows")
        if self.patch % 2:
            raise InputError(f"{path}.patch is {self.patch}; want an even number, patches overlap by half")
        if self.dropout + self.sparsity > 1:
            raise InputError(f"{path}.dropout + {path}.sparsity is {self.dropout + self.sparsity}; want at most 1")


@flax.struct.dataclass
class AuxiliaryOutput:
    """One level coded: residual_hat float32 `[batch, h, w, 3]`; quantized, index `[batch, h / patch, w / patch, groups]`."""

    residual_hat: jax.Array
    quantized: Quantized


class AuxiliaryTokenizer(nn.Module):
    """Windowed encoder, quantizer and windowed decoder of a residual; the decoder also sees the coarse image `up`.

    A skipped position paints nothing: its residual is exactly zero except where a kept neighbour's patch reaches over and
    fades out. The decoder is told which positions are skipped (a learned embedding takes the place of their codes), so kept
    neighbours can paint up to the border.

    Attributes:
      settings: sizes.
      dtype: of the computation.
      remat: recompute blocks in the backward pass.
    """

    settings: AuxiliarySettings
    dtype: Any = jnp.float32
    remat: bool = False

    def setup(self) -> None:
        s = self.settings
        self.embed = PatchEmbedding(s.patch, s.width, self.dtype)
        self.embed_up = PatchEmbedding(s.patch, s.width, self.dtype)
        self.encoder = GridStack(s.depth, s.heads, s.window, self.dtype, self.remat)
        self.quantizer = Quantizer(s.quantizer, s.width, s.groups, self.dtype)
        self.decoder = GridStack(s.depth, s.heads, s.window, self.dtype, self.remat)
        self.head = OverlappingPatches(s.patch, 3, self.dtype)
        init = nn.initializers.normal(0.02)
        self.encoder_level = self.param("encoder_level", init, (s.levels, s.width), jnp.float32)
        self.decoder_level = self.param("decoder_level", init, (s.levels, s.width), jnp.float32)
        self.skipped = self.param("skipped", init, (1, s.width), jnp.float32)

    def __call__(
        self, residual: jax.Array, up: jax.Array, kept: jax.Array, level: int, key: jax.Array | None = None
    ) -> AuxiliaryOutput:
        """Codes `residual` `[batch, h, w, 3]`, given `up` (same shape), where `kept` `[batch, rows, columns]`."""
        quantized = self.quantize(residual, up, kept, level, key)
        return AuxiliaryOutput(self._paint(quantized.value, up, kept, level), quantized)

    def quantize(
        self,
        residual: jax.Array,
        up: jax.Array,
        kept: jax.Array,
        level: int,
        key: jax.Array | None = None,
    ) -> Quantized:
        """Codes of a residual; arguments as `__call__`."""
        x = self.embed(jnp.concatenate([residual, up], axis=-1)) + self.encoder_level[level].astype(self.dtype)
        return self.quantizer(self.encoder(x), kept, key)

    def decode(self, index: jax.Array, up: jax.Array, kept: jax.Array, level: int) -> jax.Array:
        """Residual float32 `[batch, h, w, 3]` from codes `[batch, rows, columns, groups]`; those not kept do not matter."""
        return self._paint(self.quantizer.lookup(index), up, kept, level)

    def _paint(self, value: jax.Array, up: jax.Array, kept: jax.Array, level: int) -> jax.Array:
        codes = jnp.where(kept[..., None], self.quantizer.tokens(value), self.skipped[0].astype(self.dtype))
        x = codes + self.embed_up(up) + self.decoder_level[level].astype(self.dtype)
        return self.head(self.decoder(x), kept)


def position_energy(residual: jax.Array, patch: int) -> jax.Array:
    """Mean square of the residual `[batch, h, w, 3]` in each position's cell: `[batch, rows, columns]`."""
    return jnp.mean(jnp.square(split_patches(residual, patch)), axis=-1)


def choose_positions(energy: jax.Array, keep: jax.Array | float, threshold: jax.Array | float) -> jax.Array:
    """The positions worth coding: at most `ceil(keep * positions)` of the most energy, each of at least `threshold`.

    Args:
      energy: `[batch, rows, columns]`.
      keep: budget as a fraction, a number or `[batch]`.
      threshold: mean squared residual, a number or `[batch]`.

    Returns:
      bool `[batch, rows, columns]`.
    """
    batch, rows, columns = energy.shape
    flat = energy.reshape(batch, -1)
    rank = jnp.argsort(jnp.argsort(-flat, axis=-1), axis=-1)  # stable: equal energies are ranked by position, never both kept
    keep, threshold = (jnp.broadcast_to(jnp.asarray(x, jnp.float32), (batch,))[:, None] for x in (keep, threshold))
    # A little less before rounding up: in float32, 0.1 * 30 is more than 3.
    budget = jnp.ceil(keep * (rows * columns) - 1e-3)
    return ((rank < budget) & (flat >= threshold)).reshape(batch, rows, columns)
