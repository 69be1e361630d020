"""A vision tower of SigLIP's architecture (Zhai et al. 2023), and the adapter that brings its features into a transformer.

Features of patches, no class token and no pooling. Parameters stand for those of Hugging Face's `SiglipVisionModel`, its linear
layers transposed and its layers stacked: with `N` a layer, `vision_model.` and `encoder.layers.N.` left out,

    embeddings.patch_embedding [out, 3, p, p]   embed/projection   kernel: axes (2, 3, 1, 0), flattened to [p * p * 3, out]
    embeddings.position_embedding               positions
    layer_norm1, layer_norm2                    blocks/attention_norm, blocks/mlp_norm
    self_attn.{q,k,v,out}_proj                  blocks/attention/{query,key,value,output}
    mlp.fc1, mlp.fc2                            blocks/mlp/up, blocks/mlp/down
    post_layernorm                              norm
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.config import POSITIVE, one_of, setting
from ugf_jax.errors import InputError
from ugf_jax.models.attention import attend
from ugf_jax.models.constrain import constrain_rows
from ugf_jax.models.linear import Linear
from ugf_jax.models.patches import PatchEmbedding

EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class VisionSettings:
    """Size of a vision tower; the defaults are those of SigLIP-SO400M, patch 14, 384 pixels."""

    image_size: int = setting(384, POSITIVE, "side in pixels of the image whose grid has learned positions")
    patch: int = setting(14, POSITIVE, "pixels a side of a patch; what is left over at the right and lower edge is cut off")
    width: int = setting(1152, POSITIVE, "features of a token")
    depth: int = setting(27, POSITIVE, "blocks")
    heads: int = setting(16, POSITIVE, "attention heads")
    hidden: int = setting(4304, POSITIVE, "hidden features of the feed-forward layers")
    resampling: str = setting(
        "cubic", one_of("cubic", "linear"), "of positions: cubic: SigLIP; linear, antialiased: SigLIP 2 NaFlex"
    )
    dtype: str = setting("float32", one_of("float32", "bfloat16"), "of the computation; parameters are float32")
    remat: bool = setting(False, doc="recompute blocks in the backward pass: less memory, a third more time")

    @property
    def grid(self) -> int:
        """Patches along one side of the image whose positions are learned."""
        return self.image_size // self.patch

    def validate(self, path: str) -> None:
        """Raises InputError for sizes that do not fit together."""
        if self.width % self.heads:
            raise InputError(f"{path}.width is {self.width}; want a multiple of {path}.heads, {self.heads}")
        if self.image_size < self.patch:
            raise InputError(f"{path}.image_size is {self.image_size}; want at least {path}.patch, {self.patch}")


class VisionTower(nn.Module):
    """Images to features of their patches. Any size: learned positions are interpolated to other grids."""

    settings: VisionSettings

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """`[batch, height, width, 3]` in [-1, 1] to `[batch, rows, columns, features]`."""
        s = self.settings
        dtype: Any = jnp.dtype(s.dtype)
        rows, columns = image.shape[1] // s.patch, image.shape[2] // s.patch
        if not rows or not columns:
            raise ValueError(f"image of {image.shape[1]}x{image.shape[2]} pixels; want at least one patch, {s.patch}")
        x = PatchEmbedding(s.patch, s.width, dtype, name="embed")(image[:, : rows * s.patch, : columns * s.patch])
        initial = nn.initializers.normal(s.width**-0.5)
        positions = self.param("positions", initial, (s.grid**2, s.width), jnp.float32)
        x += interpolate(positions.reshape(s.grid, s.grid, s.width), rows, columns, s.resampling).astype(dtype)
        x = constrain_rows(x.reshape(len(image), rows * columns, s.width))

        block = nn.remat(_Block, prevent_cse=False) if s.remat else _Block
        layers = nn.scan(block, variable_axes={"params": 0}, split_rngs={"params": True}, length=s.depth)
        x, _ = layers(s.heads, s.hidden, dtype, name="blocks")(x, None)
        return constrain_rows(_norm("norm", dtype)(x)).reshape(len(image), rows, columns, s.width)


class _Block(nn.Module):
    """Pre-norm attention and feed-forward layer, with biases."""

    heads: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, _: None = None) -> tuple[jax.Array, None]:
        """`[batch, positions, features]` to the same shape; the pair is what a scan expects."""
        x = x + _Attention(self.heads, self.dtype, name="attention")(_norm("attention_norm", self.dtype)(x))
        return x + _MLP(self.hidden, self.dtype, name="mlp")(_norm("mlp_norm", self.dtype)(x)), None


class _Attention(nn.Module):
    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def project(name: str) -> jax.Array:
            return Linear(x.shape[-1], True, self.dtype, name=name)(x).reshape(*x.shape[:2], self.heads, -1)

        y = attend(project("query"), project("key"), project("value"))
        return Linear(x.shape[-1], True, self.dtype, name="output")(y.reshape(x.shape))


class _MLP(nn.Module):
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.gelu(Linear(self.hidden, True, self.dtype, name="up")(x), approximate=True)
        return Linear(x.shape[-1], True, self.dtype, name="down")(y)


class Adapter(nn.Module):
    """Features of a vision tower to tokens of a transformer: linear, GELU, linear (LLaVA 1.5; Liu et al. 2024).

    Attributes:
      width: features of the transformer's tokens.
      dtype: of the computation; parameters are float32.
    """

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., features]` to `[..., width]`."""
        y = nn.gelu(Linear(self.width, True, self.dtype, name="first")(x), approximate=False)
        return Linear(self.width, True, self.dtype, name="second")(y)


def interpolate(grid: jax.Array, rows: int, columns: int, resampling: str = "cubic") -> jax.Array:
    """A grid of features `[rows, columns, features]` resampled to another size. The same size gives the same grid, bit for bit.

    `cubic` is cubic convolution (Keys 1981) with a = -0.75, pixel centres at halves and the border repeated, as PyTorch's
    `bicubic` and hence Hugging Face's interpolation of SigLIP's positions. `linear` is that of SigLIP 2's NaFlex towers: where
    the grid becomes smaller, triangles as wide as the distance of the new positions.
    """
    if grid.shape[:2] == (rows, columns):
        return grid
    if resampling == "linear":
        return jax.image.resize(grid, (rows, columns, grid.shape[2]), "linear", precision=jax.lax.Precision.HIGHEST)
    down, across = (jnp.asarray(_cubic(new, old)) for new, old in zip((rows, columns), grid.shape[:2], strict=True))
    return jnp.einsum("ri,cj,ijf->rcf", down, across, grid, precision=jax.lax.Precision.HIGHEST)


def _cubic(new: int, old: int) -> np.ndarray:
    """Weights `[new, old]` of the samples along one axis."""
    a = -0.75
    centre = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(centre).astype(int) - 1
    weights = np.zeros((new, old))
    for sample in (first + n for n in range(4)):
        x = np.abs(centre - sample)
        near = ((a + 2) * x - (a + 3)) * x**2 + 1
        far = a * (((x - 5) * x + 8) * x - 4)
        weights[np.arange(new), np.clip(sample, 0, old - 1)] += np.where(x <= 1, near, far)
    return weights.astype(np.float32)


def _norm(name: str, dtype: Any) -> nn.LayerNorm:
    return nn.LayerNorm(EPSILON, dtype=dtype, use_fast_variance=False, name=name)
