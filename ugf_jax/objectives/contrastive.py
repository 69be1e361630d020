"""Contrastive losses of images and texts over the global batch, in chunks, so that memory is linear in the batch.

Embeddings of the texts are gathered from all devices (linear); the logits of this device's images with them are formed chunk
by chunk and formed again in the backward pass, so that no `[batch, batch]` matrix ever exists.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

KINDS = ("sigmoid", "infonce")
CHUNK = 1024  # columns of logits at one time


def contrastive_loss(
    image: jax.Array, text: jax.Array, valid: jax.Array, contrast: jax.Array, kind: str = "sigmoid", chunk: int = CHUNK
) -> jax.Array:
    """Mean loss of all valid pairs of the global batch, a float32 scalar.

    `sigmoid` (SigLIP; Zhai et al. 2023, section 3.2) judges each image with each text on its own; `infonce` (CLIP; Radford et
    al. 2021) lets each image choose among all texts and each text among all images.

    Args:
      image: float32 `[pairs, features]` of length 1.
      text: likewise; row i belongs to image i.
      valid: bool `[pairs]`; other rows count nowhere.
      contrast: float32 `[2]`: logarithm of the scale, and the bias (which only `sigmoid` uses).
      kind: one of `KINDS`.
      chunk: columns of logits at one time.

    Raises:
      ValueError: no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"contrastive loss {kind!r}; want one of {', '.join(KINDS)}")
    of_kind = _sigmoid if kind == "sigmoid" else _infonce
    mesh = jax.sharding.get_abstract_mesh()
    axes = tuple(name for name in ("data", "fsdp") if name in mesh.axis_names)
    if not axes or image.shape[0] % _devices(mesh, axes):
        return of_kind(image, text, valid, contrast, (), chunk)

    def one(image: jax.Array, text: jax.Array, valid: jax.Array, contrast: jax.Array) -> jax.Array:
        return of_kind(image, text, valid, contrast, axes, chunk)

    return jax.shard_map(one, in_specs=(P(axes), P(axes), P(axes), P()), out_specs=P())(image, text, valid, contrast)


def _devices(mesh: jax.sharding.AbstractMesh, axes: tuple[str, ...]) -> int:
    count = 1
    for name in axes:
        count *= mesh.shape[name]
    return count


def _sigmoid(
    image: jax.Array, text: jax.Array, valid: jax.Array, contrast: jax.Array, axes: tuple[str, ...], chunk: int
) -> jax.Array:
    numbers, all_numbers, all_text, all_valid = _gathered(text, valid, axes)

    def add(total: jax.Array, part: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        texts, texts_valid, columns = part
        logits = jnp.exp(contrast[0]) * (image @ texts.T) + contrast[1]
        sign = jnp.where(numbers[:, None] == columns[None], 1.0, -1.0)
        counts = valid[:, None] & texts_valid[None]
        return total + jnp.sum(jnp.where(counts, -jax.nn.log_sigmoid(sign * logits), 0.0))

    total = _over_chunks(add, _zero(axes), (all_text, all_valid, all_numbers), chunk)
    return _sum(total, axes) / _pairs(valid, axes)


def _infonce(
    image: jax.Array, text: jax.Array, valid: jax.Array, contrast: jax.Array, axes: tuple[str, ...], chunk: int
) -> jax.Array:
    scale = jnp.exp(contrast[0])
    right = scale * jnp.sum(image * text, axis=-1)

    def log_choices(rows: jax.Array, columns: jax.Array) -> jax.Array:
        """Log of the sum over all columns of the exponentials of their logits, for each row."""
        _, _, everything, all_valid = _gathered(columns, valid, axes)

        def add(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> jax.Array:
            others, others_valid = part
            logits = jnp.where(others_valid[None], scale * (rows @ others.T), -1e30)
            return jnp.logaddexp(total, jax.nn.logsumexp(logits, axis=-1))

        return _over_chunks(add, jnp.full_like(right, -1e30), (everything, all_valid), chunk)

    loss = (log_choices(image, text) + log_choices(text, image)) / 2 - right
    return _sum(jnp.sum(jnp.where(valid, loss, 0.0)), axes) / _pairs(valid, axes)


def _gathered(x: jax.Array, valid: jax.Array, axes: tuple[str, ...]) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Numbers of this device's rows; numbers, rows and validity of all devices' rows."""
    first = jax.lax.axis_index(axes) * len(x) if axes else 0
    numbers = first + jnp.arange(len(x))

    def gather(y: jax.Array) -> jax.Array:
        return jax.lax.all_gather(y, axes, tiled=True) if axes else y

    return numbers, gather(numbers), gather(x), gather(valid)


def _over_chunks(
    add: Callable[[jax.Array, Any], jax.Array], start: jax.Array, columns: tuple[jax.Array, ...], chunk: int
) -> jax.Array:
    """Folds `add` over chunks of the columns, keeping nothing of a chunk for the backward pass."""
    count = len(columns[0])
    size = min(chunk, count)
    room = -count % size
    cut = tuple(jnp.pad(c, ((0, room), *((0, 0) for _ in c.shape[1:]))).reshape(-1, size, *c.shape[1:]) for c in columns)

    def body(total: jax.Array, part: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        return add(total, part), None

    return jax.lax.scan(jax.checkpoint(body), start, cut)[0]


def _zero(axes: tuple[str, ...]) -> jax.Array:
    """A sum to start from; each device has its own."""
    return jax.lax.pcast(jnp.zeros(()), axes, to="varying") if axes else jnp.zeros(())


def _sum(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    return jax.lax.psum(x, axes) if axes else x


def _pairs(valid: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    return jnp.maximum(_sum(jnp.sum(valid.astype(jnp.float32)), axes), 1.0)


def retrieval(image: jax.Array, text: jax.Array, valid: jax.Array) -> jax.Array:
    """Whether each image's own text is the nearest of the batch, float32 `[pairs]`; for following a run, not for results."""
    logits = jnp.where(valid[None], image @ text.T, -jnp.inf)
    return (jnp.argmax(logits, axis=-1) == jnp.arange(len(image))).astype(jnp.float32)
