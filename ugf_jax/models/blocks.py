"""Transformer blocks of the Llama family (RMSNorm, SwiGLU), used on image grids."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ugf_jax.models.attention import GridAttention
from ugf_jax.models.linear import Linear


class RMSNorm(nn.Module):
    """Root-mean-square normalisation of the last axis (Zhang & Sennrich 2019), in float32."""

    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., features]` to the same shape."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        return (x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.epsilon) * scale).astype(self.dtype)


class SwiGLU(nn.Module):
    """Gated feed-forward layer (Shazeer 2020): `down(silu(gate(x)) * up(x))`."""

    hidden: int
    dtype: Any = jnp.float32
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., features]` to the same shape."""
        gate = Linear(self.hidden, self.use_bias, self.dtype, name="gate")(x)
        up = Linear(self.hidden, self.use_bias, self.dtype, name="up")(x)
        down = Linear(x.shape[-1], self.use_bias, self.dtype, nn.initializers.zeros, name="down")
        return down(nn.silu(gate) * up)


def hidden_size(width: int) -> int:
    """Hidden features of a SwiGLU layer with as many parameters as a plain one of 4 × width, in multiples of 32."""
    return round(width * 8 / 3 / 32) * 32


class GridBlock(nn.Module):
    """Pre-norm attention and feed-forward layer over an image grid; starts as the identity."""

    heads: int
    window: int | None = None
    shifted: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, features]` to the same shape."""
        attention = GridAttention(self.heads, self.window, self.shifted, self.dtype, name="attention")
        x = x + attention(RMSNorm(dtype=self.dtype, name="attention_norm")(x))
        mlp = SwiGLU(hidden_size(x.shape[-1]), self.dtype, name="mlp")
        return x + mlp(RMSNorm(dtype=self.dtype, name="mlp_norm")(x))


class GridLayers(nn.Module):
    """What `GridStack` repeats: one block, or with windows two, the second of them shifted by half a window."""

    heads: int
    window: int | None = None
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, _: None = None) -> tuple[jax.Array, None]:
        """`[batch, height, width, features]` to the same shape; the pair is what a scan expects."""
        block = nn.remat(GridBlock, prevent_cse=False) if self.remat else GridBlock
        x = block(self.heads, self.window, False, self.dtype, name="layer")(x)
        if self.window is not None:
            x = block(self.heads, self.window, True, self.dtype, name="shifted_layer")(x)
        return x, None


class GridStack(nn.Module):
    """`depth` blocks over an image grid and a final norm. Layers are scanned: one is compiled, however many there are.

    With windows, every second layer is shifted by half a window, so that neighbouring windows meet; `depth` must be even.
    Parameters are stacked over the layers: `blocks/layer/attention/query/kernel` is `[layers, width, width]`.

    Attributes:
      depth: number of blocks.
      heads: attention heads of each.
      window: side of a window in cells, or None for the whole grid.
      dtype: of the computation; parameters are float32.
      remat: recompute each block in the backward pass instead of keeping its activations.
    """

    depth: int
    heads: int
    window: int | None = None
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, features]` to the same shape."""
        length, rest = divmod(self.depth, 1 if self.window is None else 2)
        if rest:
            raise ValueError(f"{self.depth} windowed layers; want an even number, every second one is shifted")
        layers = nn.scan(GridLayers, variable_axes={"params": 0}, split_rngs={"params": True}, length=length)
        x, _ = layers(self.heads, self.window, self.dtype, self.remat, name="blocks")(x, None)
        return RMSNorm(dtype=self.dtype, name="norm")(x)
