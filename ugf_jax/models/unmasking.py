"""Codes by parallel decoding: all masked codes are drawn at once, the surest are kept, and the rest are drawn again.

MaskGIT (Chang et al. 2022, section 3.2). The share that stays masked falls along a cosine, so that few codes are fixed while
little is known. Here the unit is one code of one group, so the codes of a position need not all be drawn blindly together.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.config import NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.models.detail import DetailLogits
from ugf_jax.models.digits import Digits

Predict = Callable[[jax.Array, jax.Array, jax.Array], DetailLogits]  # (index, masked, kept) to logits


@dataclasses.dataclass(frozen=True)
class UnmaskSettings:
    """How codes are drawn."""

    steps: int = setting(8, POSITIVE, "calls of the model for each level")
    temperature: float = setting(0.5, NOT_NEGATIVE, "of the codes; 0 takes the likeliest, 1 follows the model")
    choice_temperature: float = setting(1.0, NOT_NEGATIVE, "of which codes to fix first, falling to 0; 0 takes the surest")


def masked_share(progress: jax.Array | float) -> jax.Array:
    """The cosine schedule: share of the codes that is masked after `progress` (0 to 1) of the way."""
    return jnp.cos(jnp.pi / 2 * jnp.asarray(progress, jnp.float32))


def keys_of(key: jax.Array, batch: int) -> jax.Array:
    """A random key for each image `[batch]`: those given, or made from the one given and the image's number."""
    return key if key.ndim else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch))


def unmask(
    predict: Predict,
    index: jax.Array,
    masked: jax.Array,
    kept: jax.Array,
    digits: Digits,
    key: jax.Array,
    settings: UnmaskSettings,
) -> tuple[jax.Array, jax.Array]:
    """Fills in the masked codes of a batch.

    Codes that are not masked are returned as they are, and so are positions known to be skipped. Every image has random
    numbers of its own: the result for it does not depend on the others.

    Args:
      predict: the model with all but its last three arguments given.
      index: int32 `[batch, rows, columns, groups]`.
      masked: bool, like `index`; see `DetailModel`.
      kept: bool `[batch, rows, columns]`.
      digits: of the codes.
      key: random key, or one for each image `[batch]`.
      settings: how to draw.

    Returns:
      index, 0 where skipped, and kept; nothing is masked any more.
    """
    keys = keys_of(key, index.shape[0])
    total = jnp.sum(masked, axis=(1, 2, 3))

    def step(number: jax.Array, state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        index, masked, kept = state
        progress = (number + 1) / settings.steps
        stays = jnp.floor(total * masked_share(progress)).astype(jnp.int32)
        stays = jnp.where(number + 1 < settings.steps, stays, 0)
        logits = predict(index, masked, kept)
        draw = functools.partial(_draw, links=logits.links, digits=digits, settings=settings, haste=1 - progress)
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        drawn = jax.vmap(draw)(step_keys, logits.codes, logits.kept, jnp.all(masked, axis=-1))
        fixed = masked & (drawn.score >= _lowest(drawn.score, masked, stays)[:, None, None, None])
        index = jnp.where(fixed, drawn.index, index)
        kept = jnp.where(jnp.any(fixed, axis=-1), drawn.kept, kept)
        return index, masked & ~fixed, kept

    index, _, kept = jax.lax.fori_loop(0, settings.steps, step, (index, masked, kept))
    return jnp.where(kept[..., None], index, 0), kept


@flax.struct.dataclass
class _Drawn:
    """A guess at everything: index `[rows, columns, groups]`, how sure it is (`score`), and kept `[rows, columns]`."""

    index: jax.Array
    score: jax.Array
    kept: jax.Array


def _draw(
    key: jax.Array,
    codes: jax.Array,
    kept: jax.Array,
    unknown: jax.Array,
    links: jax.Array | None,
    digits: Digits,
    settings: UnmaskSettings,
    haste: jax.Array,
) -> _Drawn:
    """Draws all codes of one image, and whether positions are kept where that is `unknown` (elsewhere they are)."""
    keys = jax.random.split(key, len(digits.bases) + 2)

    def pick(key: jax.Array, logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        noise = jax.random.gumbel(key, logits.shape) if settings.temperature else 0
        chosen = jnp.argmax(logits + settings.temperature * noise, axis=-1)
        return chosen, jnp.take_along_axis(jax.nn.log_softmax(logits), chosen[..., None], axis=-1)[..., 0]

    chosen, score = [], jnp.zeros(codes.shape[:-1])
    for n, (start, base) in enumerate(zip(digits.offsets, digits.bases, strict=True)):
        digit, sure = pick(keys[n], codes[..., start : start + base])
        chosen.append(digit)
        score += sure
        if links is not None:
            codes += links[np.arange(codes.shape[-2]), start + digit]
    noise = jax.random.gumbel(keys[-1], score.shape)

    # A position not known to be kept becomes so with its first code; a skipped one is fixed as a whole.
    is_kept, sure = pick(keys[-2], jnp.stack([jnp.zeros_like(kept), kept], axis=-1))
    skipped = (unknown & (is_kept == 0))[..., None]
    score = jnp.where(skipped, 0, score) + jnp.where(unknown, sure, 0)[..., None]
    score += settings.choice_temperature * haste * jnp.where(skipped, noise[..., :1], noise)
    return _Drawn(digits.join(jnp.stack(chosen, axis=-1)), score, ~skipped[..., 0])


def _lowest(score: jax.Array, masked: jax.Array, stays: jax.Array) -> jax.Array:
    """The lowest score `[batch]` that is fixed if `stays` of the masked stay so; infinite if they are no more anyway."""
    falling = jnp.sort(jnp.where(masked, score, -jnp.inf).reshape(score.shape[0], -1), axis=-1, descending=True)
    count = jnp.sum(masked, axis=(1, 2, 3)) - stays
    lowest = jnp.take_along_axis(falling, jnp.maximum(count - 1, 0)[:, None], axis=-1)[:, 0]
    return jnp.where(count > 0, lowest, jnp.inf)
