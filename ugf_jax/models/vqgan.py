"""The convolutional VQ-GAN (Esser et al. 2021; Gafni et al. 2022) with the layers and names of Chameleon's image tokenizer.

Module names are those of its published weights (`down.0.block.1.conv1` is here `down_0/block_1/conv1`), so that importing is
renaming and transposing. With the default settings and a `vq` quantizer of 8,192 codes of 256 features it is that network. With
`attention` and 16,384 codes of 8 features it is VQ-16 of LlamaGen (Sun et al. 2024) and Janus (Wu et al. 2024).
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ugf_jax.config import POSITIVE, setting
from ugf_jax.models.attention import attend
from ugf_jax.models.quantizers import Quantized, QuantizerSettings, make_codebook


@dataclasses.dataclass(frozen=True)
class VQGANSettings:
    """Channels of the VQ-GAN; each entry of `multipliers` after the first halves the resolution."""

    channels: int = setting(128, POSITIVE, "of the first layer; a multiple of 32")
    multipliers: tuple[int, ...] = setting((1, 1, 2, 2, 4), POSITIVE, "channels at each resolution, times `channels`")
    blocks: int = setting(2, POSITIVE, "residual blocks a resolution in the encoder; the decoder has one more")
    latent: int = setting(256, POSITIVE, "channels between encoder and quantizer")
    attention: bool = setting(False, doc="attention after each residual block of the lowest resolution")

    @property
    def patch(self) -> int:
        """Pixels a side of one code."""
        return 2 ** (len(self.multipliers) - 1)


def _norm(dtype: Any, name: str) -> nn.GroupNorm:
    return nn.GroupNorm(num_groups=32, epsilon=1e-6, dtype=dtype, name=name)


def _conv(channels: int, dtype: Any, name: str, size: int = 3) -> nn.Conv:
    return nn.Conv(channels, (size, size), padding=size // 2, dtype=dtype, name=name)


class ResidualBlock(nn.Module):
    """norm → swish → conv, twice, plus the input (through a 1×1 convolution where the channels change)."""

    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, n]` to `[batch, height, width, channels]`."""
        y = _conv(self.channels, self.dtype, "conv1")(nn.swish(_norm(self.dtype, "norm1")(x)))
        y = _conv(self.channels, self.dtype, "conv2")(nn.swish(_norm(self.dtype, "norm2")(y)))
        if x.shape[-1] != self.channels:
            x = _conv(self.channels, self.dtype, "nin_shortcut", 1)(x)
        return x + y


class AttentionBlock(nn.Module):
    """One-head attention among all positions, plus the input."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` to the same shape."""
        batch, height, width, channels = x.shape
        normed = _norm(self.dtype, "norm")(x)

        def project(name: str) -> jax.Array:
            return _conv(channels, self.dtype, name, 1)(normed).reshape(batch, height * width, 1, channels)

        y = attend(project("q"), project("k"), project("v")).reshape(x.shape)
        return x + _conv(channels, self.dtype, "proj_out", 1)(y)


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` to the same shape."""
        x = ResidualBlock(x.shape[-1], self.dtype, name="block_1")(x)
        x = AttentionBlock(self.dtype, name="attn_1")(x)
        return ResidualBlock(x.shape[-1], self.dtype, name="block_2")(x)


class Downsample(nn.Module):
    """A 3×3 convolution of stride 2, padded at the bottom and right only."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` to half the height and width."""
        x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        return nn.Conv(x.shape[-1], (3, 3), strides=2, padding="VALID", dtype=self.dtype, name="conv")(x)


class Upsample(nn.Module):
    """Each pixel four times, then a 3×3 convolution."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` to twice the height and width."""
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        return _conv(x.shape[-1], self.dtype, "conv")(x)


class Resolution(nn.Module):
    """The residual blocks of one resolution, and the step to the next (`downsample`, `upsample` or none)."""

    channels: int
    blocks: int
    resample: str | None
    attention: bool = False
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, n]` to `[batch, height', width', channels]`."""
        block = nn.remat(ResidualBlock) if self.remat else ResidualBlock
        for i in range(self.blocks):
            x = block(self.channels, self.dtype, name=f"block_{i}")(x)
            if self.attention:
                x = AttentionBlock(self.dtype, name=f"attn_{i}")(x)
        if self.resample:
            x = {"downsample": Downsample, "upsample": Upsample}[self.resample](self.dtype, name=self.resample)(x)
        return x


class Encoder(nn.Module):
    """Pixels to latents; the resolution is halved between the entries of `multipliers`."""

    settings: VQGANSettings
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, 3]` to `[batch, height / patch, width / patch, latent]`."""
        s = self.settings
        x = _conv(s.channels, self.dtype, "conv_in")(x)
        for i, multiplier in enumerate(s.multipliers):
            lowest = i == len(s.multipliers) - 1
            resample, attention = None if lowest else "downsample", s.attention and lowest
            channels = s.channels * multiplier
            x = Resolution(channels, s.blocks, resample, attention, self.dtype, self.remat, name=f"down_{i}")(x)
        x = Middle(self.dtype, name="mid")(x)
        return _conv(s.latent, self.dtype, "conv_out")(nn.swish(_norm(self.dtype, "norm_out")(x)))


class Decoder(nn.Module):
    """Latents to pixels; `up_0` is the finest resolution and runs last."""

    settings: VQGANSettings
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, rows, columns, latent]` to `[batch, rows * patch, columns * patch, 3]`."""
        s = self.settings
        x = _conv(s.channels * s.multipliers[-1], self.dtype, "conv_in")(x)
        x = Middle(self.dtype, name="mid")(x)
        for i, multiplier in reversed(list(enumerate(s.multipliers))):
            resample, attention = "upsample" if i else None, s.attention and i == len(s.multipliers) - 1
            channels = s.channels * multiplier
            x = Resolution(channels, s.blocks + 1, resample, attention, self.dtype, self.remat, name=f"up_{i}")(x)
        return _conv(3, self.dtype, "conv_out")(nn.swish(_norm(self.dtype, "norm_out")(x)))


class VQGAN(nn.Module):
    """Encoder, quantizer and decoder; fully convolutional but for the attention in the middle, so any size goes.

    Attributes:
      settings: channels.
      quantizer: which codebook.
      dtype: of the computation.
      remat: recompute residual blocks in the backward pass.
    """

    settings: VQGANSettings
    quantizer: QuantizerSettings
    dtype: Any = jnp.float32
    remat: bool = False

    def setup(self) -> None:
        self.encoder = Encoder(self.settings, self.dtype, self.remat)
        self.quant_conv = nn.Conv(self.quantizer.code_features, (1, 1))
        self.quantize = make_codebook(self.quantizer)
        self.post_quant_conv = nn.Conv(self.settings.latent, (1, 1), dtype=self.dtype)
        self.decoder = Decoder(self.settings, self.dtype, self.remat)

    def encode(self, image: jax.Array, key: jax.Array | None = None) -> Quantized:
        """Codes of `[batch, height, width, 3]` in [-1, 1]; index int32 `[batch, rows, columns]`; `key` in training only."""
        latent = self.quant_conv(self.encoder(image).astype(jnp.float32))
        return Quantized(*self.quantize(latent, None, key))

    def paint(self, value: jax.Array) -> jax.Array:
        """Code values `[batch, rows, columns, features]` to float32 `[batch, height, width, 3]`, not clipped."""
        return self.decoder(self.post_quant_conv(value)).astype(jnp.float32)

    def lookup(self, index: jax.Array) -> jax.Array:
        """Values `[..., features]` of codes `[...]`."""
        return self.quantize.lookup(index)
