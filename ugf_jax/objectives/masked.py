"""Masked code modelling: a part of the codes is hidden, and only what is hidden is predicted (Chang et al. 2022)."""

import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.models.detail import DetailLogits, linked
from ugf_jax.models.digits import Digits
from ugf_jax.models.unmasking import masked_share


def draw_mask(key: jax.Array, kept: jax.Array, groups: int) -> jax.Array:
    """Hides a random part of each image's codes, as large as at a random time of decoding.

    The times of the images of a batch are spread evenly, which makes the loss less noisy than drawing each alone. A skipped
    position is hidden or known as a whole.

    Args:
      key: random key.
      kept: bool `[batch, rows, columns]`.
      groups: codes of a position.

    Returns:
      bool `[batch, rows, columns, groups]`.
    """
    batch = kept.shape[0]
    time_key, where_key = jax.random.split(key)
    time = (jax.random.uniform(time_key) + jnp.arange(batch) / batch) % 1
    masked = jax.random.uniform(where_key, (*kept.shape, groups)) < masked_share(time)[:, None, None, None]
    return jnp.where(kept[..., None], masked, masked[..., :1])


@flax.struct.dataclass
class MaskedTerms:
    """Sums of one batch, each `[batch]`.

    Attributes:
      nats: cross entropy of the masked codes of kept positions.
      right: how many of those have the likeliest code.
      codes: how many there are.
      kept_nats: cross entropy of kept or skipped, where that is hidden.
      positions: how many of those there are.
    """

    nats: jax.Array
    right: jax.Array
    codes: jax.Array
    kept_nats: jax.Array
    positions: jax.Array


def masked_terms(logits: DetailLogits, index: jax.Array, masked: jax.Array, kept: jax.Array, digits: Digits) -> MaskedTerms:
    """Compares predictions with the truth at masked codes, and nowhere else.

    Args:
      logits: of the model that saw `masked`.
      index: int32 `[batch, rows, columns, groups]`, the true codes.
      masked: bool, like `index`.
      kept: bool `[batch, rows, columns]`, the truth.
      digits: of the codes.
    """
    nats, right = jnp.zeros(index.shape), jnp.ones(index.shape, bool)
    for part, digit in zip(digits.parts(linked(logits, index, digits)), jnp.moveaxis(digits.split(index), -1, 0), strict=True):
        nats -= jnp.take_along_axis(jax.nn.log_softmax(part), digit[..., None], axis=-1)[..., 0]
        right &= jnp.argmax(part, axis=-1) == digit
    counted = masked & kept[..., None]
    unknown = jnp.all(masked, axis=-1)
    kept_nats = jax.nn.softplus(jnp.where(kept, -logits.kept, logits.kept))

    def total(values: jax.Array, where: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(where, values, 0), axis=tuple(range(1, where.ndim)), dtype=jnp.float32)

    return MaskedTerms(
        total(nats, counted),
        total(right, counted),
        total(counted, counted),
        total(kept_nats, unknown),
        total(unknown, unknown),
    )


def mean(total: jax.Array, count: jax.Array) -> jax.Array:
    """The mean over a batch of what `total` and `count` `[batch]` sum; 0 if there is nothing."""
    return jnp.sum(total) / jnp.maximum(jnp.sum(count), 1)
