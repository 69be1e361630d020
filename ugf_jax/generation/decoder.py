"""The transformer token by token: prompts at once, then one token a row, with keys and values kept.

The computation of `FusionTransformer` on the parameters of `layout`. A slot of the cache holds one token of every row, so that
a step writes in one place; rows of different lengths end together, and which slots a row sees is said for each row. The
position of a token in its document is its own affair.
"""

import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.generation.kept_memory import KeptMemory
from ugf_jax.generation.layout import BlockWeights, CrossWeights, DecodeWeights, head_norm, rms_norm
from ugf_jax.models import rope
from ugf_jax.models.fusion import Continuous, FusionSettings, Tokens
from ugf_jax.models.kernels.per_device import platform
from ugf_jax.models.linear import matmul
from ugf_jax.models.prompt_mean import counted, mean_words, running_sums
from ugf_jax.models.visible import Visibility, attend

Attention = Callable[[int, jax.Array, jax.Array, jax.Array], jax.Array]  # (layer, query, key, value)
Look = Callable[[int, jax.Array], jax.Array]  # (number of the cross-attention, query)


@flax.struct.dataclass
class Cache:
    """Keys and values of each layer, `[rows · kv heads, slots, features]`, and sums over words, `[rows, width + 1]`.

    What a step reads of a head is one block. Rows and heads are one axis: where an axis has length 1, XLA copies the whole
    cache in every step (CPU, jax 0.10: a batch of one took three times as long).
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]
    said: jax.Array | None


def prefill(
    settings: FusionSettings,
    weights: DecodeWeights,
    tokens: Tokens,
    memory: KeptMemory | None = None,
    continuous: Continuous | None = None,
) -> tuple[jax.Array, Cache]:
    """Whole prompts at once.

    Args:
      settings: of the model.
      weights: from `decode_weights`.
      tokens: `[rows, positions]`; segment 1, or 0 for padding.
      memory: one for each row; None: there are no images with any.
      continuous: features of a vision tower in the place of embeddings; None: there are none.

    Returns:
      hidden states `[rows, positions, width]` after the final norm, and a cache with a slot for each position.
    """
    keys, values = [], []
    causal = Visibility.causal(tokens.segments, tokens.positions)
    everywhere = jnp.ones_like(tokens.segments)

    def attention(layer: int, query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        keys.append(_by_head(key))
        values.append(_by_head(value))
        return attend(query, key, value, causal, settings.attention, ordered=True)

    def look(layer: int, query: jax.Array) -> jax.Array:
        assert memory is not None
        key, value = (x.swapaxes(1, 2) for x in memory.layers[layer])
        seen = Visibility(everywhere, tokens.positions, jnp.ones_like(memory.releases), memory.releases)
        return attend(query, key, value, seen, settings.attention)

    sums = None
    if weights.prompt is not None:
        told = tokens.cells if continuous is None else continuous.no_words(tokens.cells)
        sums = running_sums(weights.embed[tokens.ids], told, tokens.positions)
    looking = tokens.ids.shape[0] if memory is not None else 0
    x = _layers(settings, weights, tokens, sums, attention, look, looking, continuous)
    return x, Cache(tuple(keys), tuple(values), None if sums is None else sums[:, -1])


def step(
    settings: FusionSettings,
    weights: DecodeWeights,
    cache: Cache,
    tokens: Tokens,
    slot: jax.Array,
    seen: jax.Array,
    memory: KeptMemory | None = None,
    looking: int | None = None,
) -> tuple[jax.Array, Cache]:
    """One token of each row.

    Args:
      settings: of the model.
      weights: from `decode_weights`.
      cache: keys and values so far.
      tokens: `[rows, 1]`; segments are not read. A token at position 0 begins a document anew.
      slot: int32 scalar, where keys and values of these tokens go.
      seen: bool `[rows, slots]`, what each row sees, this slot included.
      memory: auxiliary memory; consecutive rows may share one.
      looking: only so many rows, the first ones, look at the memory; default all. A multiple of the number of memories.

    Returns:
      hidden states `[rows, width]` after the final norm, and the cache.
    """
    keys, values = list(cache.keys), list(cache.values)

    def attention(layer: int, query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        for kept, new in ((keys, key), (values, value)):
            kept[layer] = jax.lax.dynamic_update_slice_in_dim(kept[layer], _by_head(new), slot, axis=1)
        return _attend_few(query, keys[layer], values[layer], seen[:, None])

    def look(layer: int, query: jax.Array) -> jax.Array:
        assert memory is not None
        key, value = (x.reshape(-1, *x.shape[2:]) for x in memory.layers[layer])
        shared = query.reshape(memory.releases.shape[0], -1, *query.shape[2:])
        positions = tokens.positions[: query.shape[0]].reshape(shared.shape[0], -1)
        return _attend_few(shared, key, value, positions[..., None] >= memory.releases[:, None]).reshape(query.shape)

    sums = None
    if cache.said is not None:
        sums = jnp.where(tokens.positions == 0, 0, cache.said)[:, None] + counted(weights.embed[tokens.ids], tokens.cells)
    looking = tokens.ids.shape[0] if looking is None else looking
    x = _layers(settings, weights, tokens, sums, attention, look, looking if memory is not None else 0)
    return x[:, 0], Cache(tuple(keys), tuple(values), None if sums is None else sums[:, 0])


def _layers(
    settings: FusionSettings,
    weights: DecodeWeights,
    tokens: Tokens,
    sums: jax.Array | None,
    attention: Attention,
    look: Look,
    looking: int,
    continuous: Continuous | None = None,
) -> jax.Array:
    """Hidden states after the final norm; the first `looking` rows look at auxiliary memory.

    `sums` are those over the words so far, `[rows, positions, width + 1]`, where the model tells their mean.
    """
    x = weights.embed[tokens.ids]
    if weights.places is not None:
        x = (x + weights.places[tokens.cells]).astype(x.dtype)
    if sums is not None and weights.prompt is not None:
        x = (x + matmul(mean_words(sums, tokens.cells), weights.prompt)).astype(x.dtype)
    if continuous is not None:
        x = continuous.put_into(x)
    angle = rope.angles(tokens.positions, settings.block.head_features, settings.rope_base, settings.rope_scaling)
    layer = 0
    for number, (blocks, cross) in enumerate(weights.groups):
        if cross is not None and looking:
            added = _cross_attention(settings, cross, x[:looking], tokens.cells[:looking], functools.partial(look, number))
            x = x + jnp.concatenate([added, jnp.broadcast_to(cross.nothing, x[looking:].shape)])
        elif cross is not None:
            x = x + cross.nothing
        for block in blocks:
            x = x + _self_attention(settings, block, x, angle, functools.partial(attention, layer))
            x = x + _feed_forward(settings, block, x)
            layer += 1
    return rms_norm(x, weights.norm, settings.epsilon)


def _self_attention(
    settings: FusionSettings, weights: BlockWeights, x: jax.Array, angle: jax.Array, attention: Callable[..., jax.Array]
) -> jax.Array:
    shape = settings.block
    y = product(rms_norm(x, weights.attention_norm, settings.epsilon), weights.qkv)
    if weights.qkv_bias is not None:
        y = y + weights.qkv_bias
    y = y.reshape(*x.shape[:2], -1, shape.head_features)
    query, key, value = jnp.split(y, (shape.heads, shape.heads + shape.kv_heads), axis=2)
    query = rope.rotate(head_norm(query, weights.query_norm, settings.epsilon), angle)
    key = rope.rotate(head_norm(key, weights.key_norm, settings.epsilon), angle)
    y = product(attention(query, key, value).reshape(*x.shape[:2], -1), weights.output)
    return y if weights.output_bias is None else y + weights.output_bias


def _feed_forward(settings: FusionSettings, weights: BlockWeights, x: jax.Array) -> jax.Array:
    y = product(rms_norm(x, weights.mlp_norm, settings.epsilon), weights.gate_up)
    gate, up = jnp.split(y if weights.gate_up_bias is None else y + weights.gate_up_bias, 2, axis=-1)
    y = product(jax.nn.silu(gate) * up, weights.down)
    return y if weights.down_bias is None else y + weights.down_bias


def _cross_attention(
    settings: FusionSettings, weights: CrossWeights, x: jax.Array, cells: jax.Array, look: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    query = product(rms_norm(x, weights.norm, settings.epsilon), weights.query) + weights.place[cells]  # cell -1: the last row
    query = query.reshape(*x.shape[:2], -1, settings.block.head_features)
    y = look(head_norm(query, weights.query_norm, settings.epsilon))
    return product(y.reshape(*x.shape[:2], -1), weights.output)


def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[..., m] @ [m, n]`; on a CPU two or three rows go one by one.

    For a product of matrices XLA first repacks the kernel, which for so few rows takes longer than the product (2 rows, kernel
    384 × 2,048, one core: 139 µs one by one, 191 µs together). One row needs no packing.
    """
    rows = x.size // x.shape[-1]
    if not 1 < rows <= 3 or platform() != "cpu":
        return matmul(x, kernel)
    found = [row @ kernel for row in jnp.split(x.reshape(rows, -1), rows)]
    return jnp.concatenate(found).reshape(*x.shape[:-1], -1)


def _by_head(x: jax.Array) -> jax.Array:
    """`[rows, positions, heads, features]` to `[rows · heads, positions, features]`."""
    return x.swapaxes(1, 2).reshape(-1, x.shape[1], x.shape[3])


def _attend_few(query: jax.Array, key: jax.Array, value: jax.Array, seen: jax.Array) -> jax.Array:
    """Attention of a few queries `[rows, queries, heads, features]` to cached keys; every query sees some.

    `key` and `value` are `[rows · kv heads, slots, features]`, `seen` is bool `[rows, queries, slots]`.
    """
    rows, queries, _, features = query.shape
    heads = len(key) // rows
    q = query.reshape(rows, queries, heads, -1, features).swapaxes(1, 2).reshape(len(key), -1, features)
    logits = jnp.einsum("nqd,nkd->nqk", q, key, preferred_element_type=jnp.float32) * features**-0.5
    logits = logits.reshape(rows, heads, queries, -1, key.shape[1])
    weights = jax.nn.softmax(jnp.where(seen[:, None, :, None], logits, -jnp.inf), axis=-1)
    weights = weights.reshape(len(key), -1, key.shape[1]).astype(value.dtype)
    output = jnp.einsum("nqk,nkd->nqd", weights, value, preferred_element_type=jnp.float32).astype(query.dtype)
    return output.reshape(rows, heads, queries, -1, features).swapaxes(1, 2).reshape(query.shape)
