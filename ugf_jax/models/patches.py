"""Pixels to tokens and back: patch embedding, and an output head of overlapping patches that leaves no patch edges."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.linear import Linear, matmul


def split_patches(image: jax.Array, patch: int) -> jax.Array:
    """`[batch, height, width, channels]` to `[batch, height / patch, width / patch, patch * patch * channels]`."""
    batch, height, width, channels = image.shape
    if height % patch or width % patch:
        raise ValueError(f"image of {height}x{width} pixels; want multiples of the patch, {patch}")
    x = image.reshape(batch, height // patch, patch, width // patch, patch, channels).swapaxes(2, 3)
    return x.reshape(batch, height // patch, width // patch, patch * patch * channels)


def join_patches(patches: jax.Array, patch: int) -> jax.Array:
    """Inverse of `split_patches`."""
    batch, rows, columns, size = patches.shape
    channels = size // patch**2
    x = patches.reshape(batch, rows, columns, patch, patch, channels).swapaxes(2, 3)
    return x.reshape(batch, rows * patch, columns * patch, channels)


class PatchEmbedding(nn.Module):
    """A linear map of each non-overlapping patch.

    The bias starts at random: blocks and quantizers see normalised tokens, and only beside a constant does the direction of a
    token tell how bright a flat patch is.
    """

    patch: int
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Pixels `[batch, height, width, channels]` to tokens `[batch, rows, columns, width]`."""
        projection = Linear(self.width, True, self.dtype, bias_init=nn.initializers.normal(1.0), name="projection")
        return projection(split_patches(image, self.patch))


def fade(patch: int) -> np.ndarray:
    """Weights `[2, patch]` of the token after and of the token before, over the pixels between their two centres.

    They are the halves of a raised-cosine window: a token counts 1 at its own centre, 0 at its neighbour's, and both sum to 1.
    """
    rising = np.sin(np.pi * (np.arange(patch) + 0.5) / (2 * patch)) ** 2
    return np.stack([rising, rising[::-1]])


def cosines(size: int) -> np.ndarray:
    """The waves of the discrete cosine transform: row `u` of `[size, size]` has frequency `u` and mean square 1."""
    waves = np.cos(np.pi / size * np.arange(size)[:, None] * (np.arange(size) + 0.5))
    waves[1:] *= np.sqrt(2)
    return waves.astype(np.float32)


def opponents(channels: int) -> np.ndarray:
    """Orthogonal mixtures of channels, `[channels, channels]`, rows of mean square 1: brightness first, then differences."""
    return cosines(channels)


def falloff(size: int) -> np.ndarray:
    """Strength `[size, size]` of each wave of a square: 1 over its distance from frequency (0, 0), counted from 1."""
    rows, columns = np.mgrid[:size, :size]
    return (1 / (1 + np.hypot(rows, columns))).astype(np.float32)


class OverlappingPatches(nn.Module):
    """Each token paints a square of `2 * patch` pixels around its cell, faded to zero at the rim, and the squares are added.

    A patch has no edge to show: at its rim its weight is zero (the lapped transform of audio and image coding; Malvar 1989).
    Computed as one matrix product: a square of `patch` pixels between four token centres is a linear function of those four
    tokens, so the head is a 2×2 convolution over the token grid onto a canvas that is half a patch larger on each side.

    What a token paints is learned as amplitudes of cosine waves, weaker the finer they are, as in natural images. An optimizer
    that moves every parameter equally far then draws smooth pictures first; moving pixels, it would draw noise.
    """

    patch: int
    channels: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, kept: jax.Array | None = None) -> jax.Array:
        """Tokens to pixels.

        Args:
          x: `[batch, rows, columns, width]`.
          kept: bool `[batch, rows, columns]`; a token that is not kept paints nothing, exactly.

        Returns:
          `[batch, rows * patch, columns * patch, channels]` in float32.
        """
        batch, rows, columns, width = x.shape
        area = self.patch**2 * self.channels
        # From zero: what is learned first is smooth, where noise would have to be unlearned pixel by pixel.
        kernel = self.param("kernel", nn.initializers.zeros, (width, 4 * area), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (1, 4 * area), jnp.float32)
        weights = jnp.asarray(self._weights(), jnp.float32)
        kernel, bias = (self._quarters(waves) * weights for waves in (kernel, bias))

        painted = jnp.ones((batch, rows, columns, 1), x.dtype) if kept is None else kept[..., None].astype(x.dtype)
        corners = _corners(x * painted).reshape(batch, rows + 1, columns + 1, 4 * width)
        canvas = matmul(corners.astype(self.dtype), kernel.reshape(4 * width, area).astype(self.dtype)).astype(jnp.float32)
        canvas += matmul(_corners(painted)[..., 0].astype(jnp.float32), bias[:, 0])
        half = self.patch // 2
        pixels = join_patches(canvas, self.patch)[:, half : half + rows * self.patch, half : half + columns * self.patch]
        return pixels * jnp.asarray(_rim(rows, columns, self.patch), jnp.float32)

    def _quarters(self, waves: jax.Array) -> jax.Array:
        """Amplitudes of waves `[n, 4 * area]` to pixels `[4, n, area]`, the four quarters of the square."""
        side, channels = 2 * self.patch, self.channels
        pixels = jnp.einsum(
            "nuvc,uy,vx,cd->nyxd",
            waves.reshape(-1, side, side, channels) * falloff(side)[..., None],
            cosines(side),
            cosines(side),
            opponents(channels),
            precision=jax.lax.Precision.HIGHEST,
        )
        quarters = pixels.reshape(-1, 2, self.patch, 2, self.patch, channels).transpose(1, 3, 0, 2, 4, 5)
        return quarters.reshape(4, -1, self.patch**2 * channels)

    def _weights(self) -> np.ndarray:
        """`[4, 1, area]`: how much each of the four corner tokens counts in each pixel between them."""
        along = fade(self.patch)
        square = along[:, None, :, None] * along[None, :, None, :]
        return np.repeat(square.reshape(4, 1, self.patch**2), self.channels, axis=2)


def _corners(x: jax.Array) -> jax.Array:
    """`[batch, rows, columns, n]` to `[batch, rows + 1, columns + 1, 4, n]`: the tokens after and before each corner."""
    rows, columns = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return jnp.stack([x[:, i : i + rows + 1, j : j + columns + 1] for i in (1, 0) for j in (1, 0)], axis=3)


def _rim(rows: int, columns: int, patch: int) -> np.ndarray:
    """`[height, width, 1]`: makes up for the neighbours that tokens at the border of the image do not have."""

    def axis(cells: int) -> np.ndarray:
        total = np.ones(cells * patch)
        rising = fade(patch)[0]
        total[: patch // 2] = rising[patch // 2 :]
        total[-(patch // 2) :] = rising[::-1][: patch // 2]
        return 1 / total

    return (axis(rows)[:, None] * axis(columns)[None, :])[..., None]
