"""Auxiliary memory: what auxiliary codes become before text and master tokens look into it. It never sees either of them."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ugf_jax.config import NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.errors import InputError
from ugf_jax.models.attention import attend
from ugf_jax.models.blocks import RMSNorm, SwiGLU, hidden_size
from ugf_jax.models.constrain import look_up
from ugf_jax.models.fsq import FSQ
from ugf_jax.models.fusion_block import HeadNorm
from ugf_jax.models.linear import Linear
from ugf_jax.models.places import place_features

UNROLLED = 2  # blocks of the encoder that are compiled one after the other


@dataclasses.dataclass(frozen=True)
class MemorySettings:
    """The encoder of auxiliary codes."""

    width: int = setting(256, POSITIVE, "features of a memory position")
    groups: int = setting(4, POSITIVE, "codes a position, as in the auxiliary tokenizer")
    codes: int = setting(1000, POSITIVE, "size of its codebook")
    fsq_levels: tuple[int, ...] = setting((), ("2 or more", lambda x: x >= 2), "FSQ levels: codes by value; empty: by table")
    levels: int = setting(1, POSITIVE, "resolutions, as in the auxiliary tokenizer")
    depth: int = setting(0, NOT_NEGATIVE, "blocks in which positions of one image see their neighbours")
    heads: int = setting(4, POSITIVE, "attention heads of these blocks")
    chunk: int = setting(64, POSITIVE, "how far apart, in memory order, neighbours may be")

    def validate(self, path: str) -> None:
        """Refuses sizes that contradict each other."""
        if self.fsq_levels and math.prod(self.fsq_levels) != self.codes:
            raise InputError(f"{path}.fsq_levels make {math.prod(self.fsq_levels)} codes; {path}.codes is {self.codes}")
        if self.width % self.heads:
            raise InputError(f"{path}.width is {self.width}; want a multiple of {path}.heads, {self.heads}")


class CodeEmbedding(nn.Module):
    """Code groups `[rows, positions, groups]` to features: a table for each group, or a linear map of FSQ's values.

    The values of neighbouring codes are alike, so that a map of them learns from few images; a table does for any quantizer.
    """

    settings: MemorySettings
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, codes: jax.Array) -> jax.Array:
        """int32 `[rows, positions, groups]` to `[rows, positions, width]`."""
        s = self.settings
        if s.fsq_levels:
            values = FSQ(s.fsq_levels).lookup(codes)
            return Linear(s.width, True, self.dtype, name="values")(values.reshape(*codes.shape[:-1], -1))
        table = self.param("table", nn.initializers.normal(0.5), (s.groups * s.codes, s.width), jnp.float32)
        return look_up(table, codes + s.codes * jnp.arange(s.groups)).astype(self.dtype)


class NeighbourBlock(nn.Module):
    """Attention among neighbours of one image, and a feed-forward layer; the cost is linear in positions.

    Neighbours are positions of one image at most `chunk` apart in memory order (Beltagy et al. 2020, section 3.1): counted from
    each position, not from where chunks happen to begin, so that packing changes nothing. Positions lie in chunks; a
    query finds all its neighbours in its own chunk, the one before and the one after.
    """

    settings: MemorySettings
    dtype: Any = jnp.float32
    rows: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, seen: jax.Array) -> tuple[jax.Array, None]:
        """`[chunks, chunk, width]` to the same shape; the pair is what a scan expects.

        Args:
          x: positions in chunks, `rows` batch entries one after the other.
          seen: bool `[chunks, 1, chunk, 3 · chunk]` from `neighbours`.
        """
        s = self.settings

        def heads(name: str) -> jax.Array:
            y = Linear(s.width, dtype=self.dtype, name=name)(normed).reshape(*x.shape[:2], s.heads, -1)
            return y if name == "value" else HeadNorm("rms", 1e-5, self.dtype, name=f"{name}_norm")(y)

        normed = RMSNorm(dtype=self.dtype, name="attention_norm")(x)
        key, value = (around(heads(name), self.rows) for name in ("key", "value"))
        y = attend(heads("query"), key, value, seen)
        x = x + Linear(s.width, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="output")(y.reshape(x.shape))
        normed = RMSNorm(dtype=self.dtype, name="mlp_norm")(x)
        return x + SwiGLU(hidden_size(s.width), self.dtype, name="mlp")(normed), None


def around(x: jax.Array, rows: int, fill: int = 0) -> jax.Array:
    """`[chunks, chunk, ...]` to `[chunks, 3 · chunk, ...]`: chunk before, own, after; `fill` where there is none.

    Chunks of one row do not meet those of the next, which may lie on another device.
    """
    y = x.reshape(rows, -1, *x.shape[1:])
    y = jnp.pad(y, ((0, 0), (1, 1), *((0, 0) for _ in x.shape[1:])), constant_values=fill)
    y = jnp.concatenate([y[:, :-2], y[:, 1:-1], y[:, 2:]], axis=2)
    return y.reshape(x.shape[0], -1, *x.shape[2:])


def neighbours(images: jax.Array, chunk: int, rows: int = 1) -> jax.Array:
    """Which keys of `around` a query sees: those of its image, at most `chunk` positions away.

    Args:
      images: int32 `[chunks, chunk]`; no two batch entries share a number.
      chunk: positions in a chunk.
      rows: batch entries, one after the other.

    Returns:
      bool `[chunks, 1, chunk, 3 · chunk]`.
    """
    distance = jnp.arange(3 * chunk)[None] - chunk - jnp.arange(chunk)[:, None]
    return ((images[:, :, None] == around(images, rows, -2)[:, None]) & (jnp.abs(distance) <= chunk))[:, None]


class MemoryEncoder(nn.Module):
    """Codes, places and levels of auxiliary positions to memory; see `MemorySettings`."""

    settings: MemorySettings
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, codes: jax.Array, places: jax.Array, levels: jax.Array, segments: jax.Array, releases: jax.Array
    ) -> jax.Array:
        """Memory `[batch, positions, width]`.

        Args:
          codes: int32 `[batch, positions, groups]`.
          places: float32 `[batch, positions, 4]`, see `place_features`.
          levels: int32 `[batch, positions]`, 0 the coarsest.
          segments: int32 `[batch, positions]`; with `releases` they tell one image from another.
          releases: int32 `[batch, positions]`.
        """
        s = self.settings
        x = CodeEmbedding(s, self.dtype, name="embed")(codes)
        x = x + Linear(s.width, dtype=self.dtype, name="place")(place_features(places).astype(self.dtype))
        level = self.param("level", nn.initializers.normal(0.02), (s.levels, s.width), jnp.float32)
        x = x + level[levels].astype(self.dtype)
        if s.depth:
            batch, positions = segments.shape
            room = -positions % s.chunk
            x = jnp.pad(x, ((0, 0), (0, room), (0, 0))).reshape(-1, s.chunk, s.width)
            images = jnp.pad(image_numbers(segments, releases), ((0, 0), (0, room)), constant_values=-1)
            images = jnp.where(images < 0, -1, images + jnp.arange(batch)[:, None] * (positions + 1)).reshape(-1, s.chunk)
            scan = nn.scan(
                NeighbourBlock,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=nn.broadcast,
                length=s.depth,
                unroll=UNROLLED,  # what the backward pass needs of them is not copied into one array
            )
            x, _ = scan(s, self.dtype, batch, name="blocks")(x, neighbours(images, s.chunk, batch))
            x = x.reshape(batch, positions + room, s.width)[:, :positions]
        return RMSNorm(dtype=self.dtype, name="norm")(x)


def image_numbers(segments: jax.Array, releases: jax.Array) -> jax.Array:
    """Numbers the images along each row, int32 `[batch, positions]`: a new one wherever the document or the release changes."""

    def changes(x: jax.Array) -> jax.Array:
        return jnp.pad(x[:, 1:] != x[:, :-1], ((0, 0), (1, 0)))

    return jnp.cumsum(changes(segments) | changes(releases), axis=1, dtype=jnp.int32)
