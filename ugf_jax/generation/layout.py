"""The transformer's parameters as decoding wants them: converted once, then used for every token.

Training keeps the parameters of all groups stacked, so that one group is compiled, and each projection apart. A decoding step
multiplies every matrix by a few rows only, so what counts is that each is one contiguous array and that there are few of
them: layers stand alone, query, key and value are one matrix, and so are gate and up.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.places import cell_places, place_features
from ugf_jax.models.prompt_mean import SHARE

Norm = tuple[jax.Array, ...]  # (), (scale,) or (scale, bias)


@flax.struct.dataclass
class BlockWeights:
    """Self-attention and SwiGLU. H heads, N of keys and values, D features each.

    Attributes:
      attention_norm, mlp_norm: float32 `[width]`.
      qkv: `[width, (H + 2 N) · D]`: query, key, value.
      qkv_bias: `[(H + 2 N) · D]`, or None.
      query_norm, key_norm: of the heads, float32; see `HeadNorm`.
      output: `[H · D, width]`.
      gate_up: `[width, 2 · hidden]`.
      down: `[hidden, width]`.
      output_bias, gate_up_bias, down_bias: of these three, or None.
    """

    attention_norm: jax.Array
    qkv: jax.Array
    qkv_bias: jax.Array | None
    query_norm: Norm
    key_norm: Norm
    output: jax.Array
    mlp_norm: jax.Array
    gate_up: jax.Array
    down: jax.Array
    output_bias: jax.Array | None
    gate_up_bias: jax.Array | None
    down_bias: jax.Array | None


@flax.struct.dataclass
class CrossWeights:
    """Cross-attention into auxiliary memory.

    Attributes:
      norm: float32 `[width]`.
      query: `[width, H · D]`.
      place: `[cells + 1, H · D]`, what the place of each master cell adds to the query; the last row, of text, is 0.
      query_norm, key_norm: as in `BlockWeights`.
      key, value: `[memory width, N · D]`.
      null_key, null_value: `[N, D]`, seen by every query.
      output: `[H · D, width]`, times tanh of the gate.
      nothing: `[width]`, what this layer adds to a token that sees only the null key.
    """

    norm: jax.Array
    query: jax.Array
    place: jax.Array
    query_norm: Norm
    key_norm: Norm
    key: jax.Array
    value: jax.Array
    null_key: jax.Array
    null_value: jax.Array
    output: jax.Array
    nothing: jax.Array


@flax.struct.dataclass
class DecodeWeights:
    """All that a step reads.

    Attributes:
      embed: `[vocabulary, width]`.
      places: what the cell of a token adds to that, `[cells + 1, width]`, the last row for none; None: nothing.
      prompt: `[width, width]`, what the mean of the words before adds to a code; None: nothing.
      groups: blocks of each group and, where there is memory, the cross-attention before them.
      norm: float32 `[width]`.
      head: `[width, vocabulary]`.
    """

    embed: jax.Array
    places: jax.Array | None
    prompt: jax.Array | None
    groups: tuple[tuple[tuple[BlockWeights, ...], CrossWeights | None], ...]
    norm: jax.Array
    head: jax.Array


def decode_weights(settings: FusionSettings, params: Mapping[str, Any]) -> DecodeWeights:
    """Converts the parameters of a `FusionTransformer`; matrices are cast to the dtype of its computation."""
    dtype = settings.block.dtype
    layers = params["layers"]
    groups = []
    for number in range(settings.depth // (settings.cross_every or 1)):
        own = jax.tree.map(lambda x, number=number: x[number], layers)
        blocks = tuple(_block(own[f"block_{i}"], dtype) for i in range(settings.cross_every or 1))
        groups.append((blocks, _cross(settings, own) if settings.cross_every else None))
    table = params["embed"]["embedding"]
    head = table.T if settings.tied else params["head"]
    places = _places(settings.grid) @ params["cell_place"]["kernel"] if settings.cell_places else None
    prompt = SHARE * params["prompt"]["kernel"] if settings.prompt_mean else None
    return DecodeWeights(table.astype(dtype), places, prompt, tuple(groups), params["norm"]["scale"], head.astype(dtype))


def head_norm(x: jax.Array, norm: Norm, epsilon: float) -> jax.Array:
    """`HeadNorm` of `[..., heads, features]` with converted parameters: none, a scale, or a scale and a bias."""
    if not norm:
        return x
    y = x.astype(jnp.float32)
    if len(norm) == 2:
        y = y - jnp.mean(y, axis=-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + epsilon) * norm[0]
    return (y + norm[1] if len(norm) == 2 else y).astype(x.dtype)


def rms_norm(x: jax.Array, scale: jax.Array, epsilon: float) -> jax.Array:
    """`RMSNorm` of `[..., width]`."""
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + epsilon) * scale).astype(x.dtype)


def _block(params: Mapping[str, Any], dtype: Any) -> BlockWeights:
    attention, mlp = params["attention"], params["mlp"]
    projections = [attention[name] for name in ("query", "key", "value")]

    def bias(*parts: Mapping[str, Any]) -> jax.Array | None:
        return jnp.concatenate([p["bias"] for p in parts]).astype(dtype) if "bias" in parts[0] else None

    return BlockWeights(
        attention_norm=params["attention_norm"]["scale"],
        qkv=jnp.concatenate([p["kernel"] for p in projections], axis=1).astype(dtype),
        qkv_bias=bias(*projections),
        query_norm=_norm_of(attention, "query_norm"),
        key_norm=_norm_of(attention, "key_norm"),
        output=attention["output"]["kernel"].astype(dtype),
        mlp_norm=params["mlp_norm"]["scale"],
        gate_up=jnp.concatenate([mlp["gate"]["kernel"], mlp["up"]["kernel"]], axis=1).astype(dtype),
        down=mlp["down"]["kernel"].astype(dtype),
        output_bias=bias(attention["output"]),
        gate_up_bias=bias(mlp["gate"], mlp["up"]),
        down_bias=bias(mlp["down"]),
    )


def _norm_of(params: Mapping[str, Any], name: str) -> Norm:
    found = params.get(name, {})
    return tuple(found[n] for n in ("scale", "head_scale", "head_bias") if n in found)


def _cross(settings: FusionSettings, params: Mapping[str, Any]) -> CrossWeights:
    block, cross = settings.block, params["cross"]
    place = _places(settings.grid).astype(block.dtype)
    output = jnp.tanh(params["gate"]) * cross["output"]["kernel"]
    null_value = cross["null_value"].astype(block.dtype)
    every_head = jnp.repeat(null_value, block.heads // block.kv_heads, axis=0).reshape(-1)
    return CrossWeights(
        norm=params["cross_norm"]["scale"],
        query=cross["query"]["kernel"].astype(block.dtype),
        place=place @ cross["place"]["kernel"].astype(block.dtype),
        query_norm=_norm_of(cross, "query_norm"),
        key_norm=_norm_of(cross, "key_norm"),
        key=cross["key"]["kernel"].astype(block.dtype),
        value=cross["value"]["kernel"].astype(block.dtype),
        null_key=cross["null_key"].astype(block.dtype),
        null_value=null_value,
        output=output.astype(block.dtype),
        nothing=(every_head @ output).astype(block.dtype),
    )


def _places(grid: int) -> jax.Array:
    """Place features `[cells + 1, features]` of all cells, and last of none."""
    return place_features(cell_places(jnp.append(jnp.arange(grid**2), -1), grid))
