"""The master tokenizer: a square, squashed image to a small grid of codes, and back."""

import dataclasses
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.config import NOT_NEGATIVE, POSITIVE, one_of, setting
from ugf_jax.errors import InputError
from ugf_jax.models.blocks import GridStack
from ugf_jax.models.patches import OverlappingPatches, PatchEmbedding
from ugf_jax.models.plain_codes import MASK, PARTS, coverage, mean_colours
from ugf_jax.models.quantizers import Quantizer, QuantizerSettings
from ugf_jax.models.vqgan import VQGAN, VQGANSettings

_WANTED = {"mean": ("fsq", 3), "coverage": ("product", 2)}  # quantizer of plain encoders, and its number of levels


@dataclasses.dataclass(frozen=True)
class MasterSettings:
    """Size and kind of the master tokenizer."""

    kind: str = setting("vit", one_of("vit", "vqgan"), "vit: transformer blocks; vqgan: convolutions, Chameleon's")
    size: int = setting(256, POSITIVE, "side in pixels of the squashed image")
    patch: int = setting(16, POSITIVE, "pixels a side of one code")
    width: int = setting(512, POSITIVE, "features of a token")
    depth: int = setting(8, POSITIVE, "blocks in the encoder, and again in the decoder; even with windows")
    encoder: str = setting("blocks", one_of("blocks", *_WANTED), "blocks: learned; mean, coverage: see `plain_codes`")
    heads: int = setting(8, POSITIVE, "attention heads")
    window: int = setting(0, NOT_NEGATIVE, "codes a side of an attention window; 0 for the whole grid")
    quantizer: QuantizerSettings = setting(QuantizerSettings())
    vqgan: VQGANSettings = setting(VQGANSettings())

    @property
    def grid(self) -> int:
        """Codes along one side."""
        return self.size // self.patch

    def validate(self, path: str) -> None:
        """Raises InputError for sizes that do not divide."""
        if self.size % self.patch:
            raise InputError(f"{path}.size is {self.size}; want a multiple of {path}.patch, {self.patch}")
        if self.kind == "vqgan" and self.patch != self.vqgan.patch:
            raise InputError(f"{path}.patch is {self.patch}; want {self.vqgan.patch}, which {path}.vqgan.multipliers make")
        kind, levels = _WANTED.get(self.encoder, (self.quantizer.kind, len(self.quantizer.levels)))
        if self.encoder in _WANTED and (self.kind, self.quantizer.kind, len(self.quantizer.levels)) != ("vit", kind, levels):
            raise InputError(
                f"{path}.encoder is {self.encoder}; want {path}.kind vit, and {path}.quantizer {kind} with {levels} levels"
            )
        if self.encoder == "coverage" and self.patch % MASK:
            raise InputError(f"{path}.patch is {self.patch}; want a multiple of {MASK}, for {path}.encoder coverage")
        check_heads(self.width, self.heads, path)


def check_heads(width: int, heads: int, path: str) -> None:
    """Raises InputError if `width` does not split into heads whose features are a multiple of 4 (two-dimensional RoPE)."""
    if width % (4 * heads):
        raise InputError(f"{path}.width is {width}; want a multiple of 4 x {path}.heads, {4 * heads}")


@flax.struct.dataclass
class MasterOutput:
    """Attributes: recon float32 `[batch, size, size, 3]`; index int32 `[batch, grid, grid]`; loss, the quantizer's."""

    recon: jax.Array
    index: jax.Array
    loss: jax.Array


class ViTMaster(nn.Module):
    """Encoder (a transformer, or one of `plain_codes`), quantizer and transformer decoder over one fixed square image.

    Attributes:
      settings: sizes.
      dtype: of the computation.
      remat: recompute blocks in the backward pass.
    """

    settings: MasterSettings
    dtype: Any = jnp.float32
    remat: bool = False

    def setup(self) -> None:
        s = self.settings
        if s.encoder == "blocks":
            self.embed = PatchEmbedding(s.patch, s.width, self.dtype)
            self.encoder = GridStack(s.depth, s.heads, s.window or None, self.dtype, self.remat)
        self.quantizer = Quantizer(s.quantizer, s.width, 1, self.dtype, PARTS if s.encoder == "coverage" else ())
        self.decoder = GridStack(s.depth, s.heads, s.window or None, self.dtype, self.remat)
        self.head = OverlappingPatches(s.patch, 3, self.dtype)

    def __call__(self, low: jax.Array, key: jax.Array | None = None) -> MasterOutput:
        """Reconstructs `[batch, size, size, 3]` in [-1, 1], with gradients through the quantizer; `key` in training only."""
        s = self.settings
        if s.encoder == "mean":
            index = mean_colours(low, s.patch, s.quantizer.levels)
            return MasterOutput(self.decode(index), index, jnp.zeros(()))
        if s.encoder == "coverage":
            features, weights = coverage(low, s.patch)
            quantized = self.quantizer.quantize(features[..., None, :], weights[..., None], key)
            # No loss: there is no encoder that could be pulled to its codes.
            return MasterOutput(self._paint(quantized.value), quantized.index[..., 0], jnp.zeros(()))
        quantized = self.quantizer(self.encoder(self.embed(low)), None, key)
        return MasterOutput(self._paint(quantized.value), quantized.index[..., 0], quantized.loss)

    def decode(self, index: jax.Array) -> jax.Array:
        """Codes int32 `[batch, grid, grid]` to float32 `[batch, size, size, 3]`, not clipped."""
        return self._paint(self.quantizer.lookup(index[..., None]))

    def _paint(self, value: jax.Array) -> jax.Array:
        return self.head(self.decoder(self.quantizer.tokens(value)))


class ConvolutionalMaster(nn.Module):
    """A VQ-GAN as master tokenizer; the same calls as `ViTMaster`."""

    settings: MasterSettings
    dtype: Any = jnp.float32
    remat: bool = False

    def setup(self) -> None:
        self.vqmodel = VQGAN(self.settings.vqgan, self.settings.quantizer, self.dtype, self.remat)

    def __call__(self, low: jax.Array, key: jax.Array | None = None) -> MasterOutput:
        """Reconstructs `[batch, size, size, 3]` in [-1, 1], with gradients through the quantizer; `key` in training only."""
        quantized = self.vqmodel.encode(low, key)
        return MasterOutput(self.vqmodel.paint(quantized.value), quantized.index, quantized.loss)

    def decode(self, index: jax.Array) -> jax.Array:
        """Codes int32 `[batch, grid, grid]` to float32 `[batch, size, size, 3]`, not clipped."""
        return self.vqmodel.paint(self.vqmodel.lookup(index))


def make_master(settings: MasterSettings, dtype: Any = jnp.float32, remat: bool = False) -> ViTMaster | ConvolutionalMaster:
    """The master tokenizer that the settings name."""
    return (ConvolutionalMaster if settings.kind == "vqgan" else ViTMaster)(settings, dtype, remat)
