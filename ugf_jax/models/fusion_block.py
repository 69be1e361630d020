"""Blocks of the fusion transformer: the Llama family's, and gated cross-attention one way into auxiliary memory."""

import dataclasses
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.models import rope
from ugf_jax.models.blocks import RMSNorm, SwiGLU
from ugf_jax.models.linear import Linear
from ugf_jax.models.visible import EVERY, Visibility, attend


@dataclasses.dataclass(frozen=True)
class BlockShape:
    """What decides the parameters and the computation of a block; made from `FusionSettings`."""

    width: int
    heads: int
    kv_heads: int
    head_features: int
    hidden: int
    qk_norm: str
    query_bias: bool
    output_bias: bool
    mlp_bias: bool
    epsilon: float
    dropout: float
    gate: float
    attention: str
    dtype: Any


@flax.struct.dataclass
class Memory:
    """What auxiliary codes have become: the source of keys and values of every cross-attention.

    Positions of a document lie side by side, in order of their releases, as documents are packed (`ugf_jax.data.collate`).

    Attributes:
      values: `[batch, positions, features]`.
      segments: int32 `[batch, positions]`, the document of each; 0 where there is none.
      releases: int32 `[batch, positions]`, the first position of its document that may look at it.
    """

    values: jax.Array
    segments: jax.Array
    releases: jax.Array


class HeadNorm(nn.Module):
    """Normalises queries or keys `[batch, positions, heads, features]` over the features of each head.

    `rms` has one scale for all heads (Qwen 3); `layer` a scale and a bias for each (Chameleon; Henry et al. 2020).
    """

    kind: str
    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """To the same shape."""
        if self.kind == "none":
            return x
        x = x.astype(jnp.float32)
        if self.kind == "layer":
            x = x - jnp.mean(x, axis=-1, keepdims=True)
        shape = x.shape[-1:] if self.kind == "rms" else x.shape[-2:]
        x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        x = x * self.param("scale" if self.kind == "rms" else "head_scale", nn.initializers.ones, shape, jnp.float32)
        if self.kind == "layer":
            x = x + self.param("head_bias", nn.initializers.zeros, shape, jnp.float32)
        return x.astype(self.dtype)


class SelfAttention(nn.Module):
    """Causal attention within each document of a packed row, with rotary positions and grouped keys (Ainslie et al. 2023)."""

    shape: BlockShape

    @nn.compact
    def __call__(self, x: jax.Array, angle: jax.Array, visibility: Visibility) -> jax.Array:
        """`[batch, positions, width]` to the same shape; `angle` is `[batch, positions, head_features / 2]`."""
        s = self.shape

        def project(name: str, heads: int) -> jax.Array:
            y = Linear(heads * s.head_features, s.query_bias, s.dtype, name=name)(x)
            return y.reshape(*x.shape[:2], heads, s.head_features)

        query, key, value = project("query", s.heads), project("key", s.kv_heads), project("value", s.kv_heads)
        query = rope.rotate(HeadNorm(s.qk_norm, s.epsilon, s.dtype, name="query_norm")(query), angle)
        key = rope.rotate(HeadNorm(s.qk_norm, s.epsilon, s.dtype, name="key_norm")(key), angle)
        y = attend(query, key, value, visibility, s.attention, ordered=True)
        output = Linear(s.width, s.output_bias, s.dtype, nn.initializers.zeros, name="output")
        return output(y.reshape(*x.shape[:2], -1))


class CrossAttention(nn.Module):
    """Attention of text and master tokens into auxiliary memory; it never runs the other way.

    A learned null key that every query sees keeps a query without any memory well defined, and lets it look at nothing.
    """

    shape: BlockShape

    @nn.compact
    def __call__(self, x: jax.Array, place: jax.Array, memory: Memory, visibility: Visibility) -> jax.Array:
        """`[batch, positions, width]` to the same shape.

        Args:
          x: normalised hidden states.
          place: features of the place of each token in its image, `[batch, positions, PLACES]`; 0 for text.
          memory: keys and values.
          visibility: of the memory, with a first key that every query sees.
        """
        s = self.shape

        def heads(y: jax.Array, count: int) -> jax.Array:
            return y.reshape(*y.shape[:2], count, s.head_features)

        def from_memory(name: str) -> jax.Array:
            return heads(Linear(s.kv_heads * s.head_features, dtype=s.dtype, name=name)(memory.values), s.kv_heads)

        def after_null(name: str, y: jax.Array, init: nn.initializers.Initializer) -> jax.Array:
            null = self.param(f"null_{name}", init, y.shape[2:], jnp.float32).astype(s.dtype)
            return jnp.concatenate([jnp.broadcast_to(null, (y.shape[0], 1, *null.shape)), y], axis=1)

        query = Linear(s.heads * s.head_features, dtype=s.dtype, name="query")(x)
        query = heads(query + Linear(query.shape[-1], dtype=s.dtype, name="place")(place), s.heads)
        query = HeadNorm("rms", s.epsilon, s.dtype, name="query_norm")(query)
        key = HeadNorm("rms", s.epsilon, s.dtype, name="key_norm")(from_memory("key"))
        key = after_null("key", key, nn.initializers.normal(1.0))
        value = after_null("value", from_memory("value"), nn.initializers.zeros)
        y = attend(query, key, value, visibility, s.attention, sorted_keys=True)
        output = Linear(s.width, dtype=s.dtype, kernel_init=nn.initializers.zeros, name="output")
        return output(y.reshape(*x.shape[:2], -1))


def memory_visibility(segments: jax.Array, positions: jax.Array, memory: Memory) -> Visibility:
    """Which token sees which memory position; the null key, which all see, comes first."""
    first = ((0, 0), (1, 0))
    return Visibility(
        segments,
        positions,
        jnp.pad(memory.segments, first, constant_values=EVERY),
        jnp.pad(memory.releases, first, constant_values=0),
    )


class FusionBlock(nn.Module):
    """Pre-norm self-attention and SwiGLU; starts as the identity."""

    shape: BlockShape
    train: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, angle: jax.Array, visibility: Visibility) -> jax.Array:
        """`[batch, positions, width]` to the same shape."""
        s = self.shape
        drop = nn.Dropout(s.dropout, deterministic=not (self.train and s.dropout))
        normed = RMSNorm(s.epsilon, s.dtype, name="attention_norm")(x)
        x = x + drop(SelfAttention(s, name="attention")(normed, angle, visibility))
        normed = RMSNorm(s.epsilon, s.dtype, name="mlp_norm")(x)
        return x + drop(SwiGLU(s.hidden, s.dtype, s.mlp_bias, name="mlp")(normed))


class FusionGroup(nn.Module):
    """What the transformer repeats: where there is memory, one gated cross-attention, and some blocks after it.

    `x + tanh(gate) · CrossAttention(norm(x), memory)` (Flamingo: Alayrac et al. 2022, section 2.2): with a gate of 0 the
    block does not exist. Unlike there the gate starts ajar, and what it lets through at 0, as whatever adds to the residual
    stream does here: a pretrained language model is left as it was, and each weight of the output has a gradient at once. A
    closed gate has one, that of what random weights happen to say, and an open one before random weights learns to close.
    """

    shape: BlockShape
    blocks: int
    train: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        angle: jax.Array,
        visibility: Visibility,
        cross: tuple[jax.Array, Memory, Visibility] | None,
    ) -> tuple[jax.Array, None]:
        """`[batch, positions, width]` to the same shape; the pair is what a scan expects."""
        s = self.shape
        if cross is not None:
            gate = self.param("gate", nn.initializers.constant(s.gate), (), jnp.float32)
            normed = RMSNorm(s.epsilon, s.dtype, name="cross_norm")(x)
            x = x + jnp.tanh(gate).astype(s.dtype) * CrossAttention(s, name="cross")(normed, *cross)
        for i in range(self.blocks):
            x = FusionBlock(s, self.train, name=f"block_{i}")(x, angle, visibility)
        return x, None
