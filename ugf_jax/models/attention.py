"""Bidirectional attention over an image grid, whole or in windows, so that its cost is linear in pixels."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models import rope


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Softmax attention; logits and softmax in float32.

    Args:
      query: `[batch, queries, heads, features]`.
      key: `[batch, keys, key heads, features]`; the number of heads is a multiple of the number of key heads.
      value: like `key`.
      mask: bool, broadcastable to `[batch, heads, queries, keys]`; False hides a key.

    Returns:
      `[batch, queries, heads, features]`.
    """
    return jax.nn.dot_product_attention(query, key, value, mask=mask)


@dataclasses.dataclass(frozen=True)
class Windows:
    """How a grid `[height, width]` is cut into windows: a static plan, made of Python integers only.

    A window is never larger than the grid. Where windows do not divide the grid, it is padded (at the start too when shifted)
    and `mask` hides the padding, so that padding never reaches a real position.

    Attributes:
      height: rows of the grid.
      width: columns of the grid.
      size: side of a window in grid cells.
      shifted: move the windows by half their size, as every second layer does so that neighbours meet (Liu et al. 2021, Swin).
    """

    height: int
    width: int
    size: int
    shifted: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of one window."""
        return min(self.size, self.height), min(self.size, self.width)

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows of padding (before, after) and columns of padding (before, after)."""
        return self._axis_padding(self.height), self._axis_padding(self.width)

    def _axis_padding(self, length: int) -> tuple[int, int]:
        size = min(self.size, length)
        before = size // 2 if self.shifted and size < length else 0
        return before, -(before + length) % size

    @property
    def count(self) -> tuple[int, int]:
        """Windows along rows and along columns."""
        (top, bottom), (left, right) = self.padding
        rows, columns = self.shape
        return (self.height + top + bottom) // rows, (self.width + left + right) // columns

    def split(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, ...]` to `[batch * windows, cells of a window, ...]`."""
        batch, rest = x.shape[0], x.shape[3:]
        (down, across), (rows, columns) = self.count, self.shape
        if self.padded:
            x = jnp.pad(x, ((0, 0), *self.padding, *((0, 0) for _ in rest)))
        x = x.reshape(batch, down, rows, across, columns, *rest).swapaxes(2, 3)
        return x.reshape(batch * down * across, rows * columns, *rest)

    def join(self, x: jax.Array) -> jax.Array:
        """Inverse of `split`; the padding is cut off."""
        rest = x.shape[2:]
        (down, across), (rows, columns) = self.count, self.shape
        (top, _), (left, _) = self.padding
        x = x.reshape(-1, down, across, rows, columns, *rest).swapaxes(2, 3)
        x = x.reshape(-1, down * rows, across * columns, *rest)
        return x[:, top : top + self.height, left : left + self.width]

    @property
    def padded(self) -> bool:
        """Whether any window holds padding."""
        return any(n for axis in self.padding for n in axis)

    def mask(self) -> np.ndarray:
        """Bool `[windows, 1, 1, cells]`: the keys that are real positions."""
        real = np.pad(np.ones((self.height, self.width), bool), self.padding)
        (down, across), (rows, columns) = self.count, self.shape
        real = real.reshape(down, rows, across, columns).swapaxes(1, 2)
        return real.reshape(down * across, 1, 1, rows * columns)

    def angles(self, features: int) -> jax.Array:
        """Rotary angles `[cells, features / 2]`. Only differences of positions matter, so every window shares them."""
        rows, columns = np.divmod(np.arange(self.shape[0] * self.shape[1]), self.shape[1])
        return rope.grid_angles(jnp.asarray(rows), jnp.asarray(columns), features)


class GridAttention(nn.Module):
    """Self-attention among the cells of each window of a grid, with two-dimensional rotary positions.

    Attributes:
      heads: number of heads; the width is a multiple of it.
      window: side of a window in cells; None attends over the whole grid.
      shifted: see `Windows`.
      dtype: of the computation; parameters are float32.
    """

    heads: int
    window: int | None = None
    shifted: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, features]` to the same shape."""
        batch, height, width, features = x.shape
        head_features = features // self.heads
        windows = Windows(height, width, self.window or max(height, width), self.shifted)

        def project(name: str) -> jax.Array:
            y = nn.Dense(features, use_bias=False, dtype=self.dtype, name=name)(x)
            return windows.split(y.reshape(batch, height, width, self.heads, head_features))

        query, key, value = project("query"), project("key"), project("value")
        angle = windows.angles(head_features)
        mask = jnp.tile(windows.mask(), (batch, 1, 1, 1)) if windows.padded else None
        y = attend(rope.rotate(query, angle), rope.rotate(key, angle), value, mask)
        return nn.Dense(features, use_bias=False, dtype=self.dtype, name="output")(windows.join(y).reshape(x.shape))
