"""Attention between tokens that see each other by one rule; one function, behind it an implementation for each device.

The rule is `Visibility`: documents, positions and release positions as integers per token. Only the reference
implementation ever forms a `[queries, keys]` mask.
"""

import functools

import jax

from ugf_jax.models.kernels.chunked import BLOCK, CPU_BLOCK, chunked
from ugf_jax.models.kernels.per_device import per_device, platform
from ugf_jax.models.kernels.reference import reference
from ugf_jax.models.kernels.tiles import MAX_FEATURES
from ugf_jax.models.kernels.visibility import EVERY, Visibility

__all__ = ["EVERY", "IMPLEMENTATIONS", "Visibility", "attend"]

IMPLEMENTATIONS = ("auto", "reference", "chunked", "pallas", "splash")
SMALL = 128 * 128  # queries × keys up to which the dense mask is as quick on a CPU
MOST_KEYS = 32_767  # that splash attention takes where they are sorted
FEW = 16  # queries up to which a dense mask is no more than the keys themselves, as in decoding


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    visibility: Visibility,
    implementation: str = "auto",
    ordered: bool = False,
    sorted_keys: bool = False,
) -> jax.Array:
    """Softmax attention of every query to the keys that it sees; logits, softmax and sums in float32.

    Logits are scaled by `features ** -0.5`. A query that sees no key gets 0. Keys that a query does not see change
    neither its output nor its gradient by a single bit, as long as they are finite.

    Args:
      query: `[batch, queries, heads, features]`.
      key: `[batch, keys, kv heads, features]`; kv heads divide heads, and `heads / kv heads` consecutive heads share one.
      value: like `key`.
      visibility: which query sees which key.
      implementation: one of `IMPLEMENTATIONS`.
      ordered: promises self-attention, `visibility` being `Visibility.causal` of rows packed in order. Then keys of a later
        index are hidden too, which changes nothing but the output of padding and lets blocks of keys be skipped.
      sorted_keys: promises that keys which all see come first, and that those of a segment lie side by side, both in order of
        their releases. Then a kernel that knows ranges of indices only will do.

    Returns:
      `[batch, queries, heads, features]` in the dtype of `query`.

    Raises:
      ValueError: shapes do not fit together, or there is no such implementation.
    """
    _check(query, key, value, visibility, ordered)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"attention {implementation!r}; want one of {', '.join(IMPLEMENTATIONS)}")
    device = platform()
    if implementation == "auto":
        implementation = choose(query.shape[1], key.shape[1], query.shape[3], ordered or sorted_keys, device)
    if implementation == "reference":
        return reference(query, key, value, visibility, ordered)
    if implementation == "chunked":
        return chunked(query, key, value, visibility, ordered, block=CPU_BLOCK if device == "cpu" else BLOCK)
    # Importing kernels takes as long as half of JAX, so only who runs one pays for it.
    if implementation == "pallas":
        from ugf_jax.models.kernels.flash import flash

        kernel = functools.partial(flash, ordered=ordered, interpret=device != "gpu")
    else:
        from ugf_jax.models.kernels.splash import splash

        kernel = functools.partial(splash, ordered=ordered, sorted_keys=sorted_keys, interpret=device != "tpu")
    return per_device(kernel, query, key, value, visibility)


def choose(queries: int, keys: int, features: int, promised: bool, device: str) -> str:
    """The implementation that "auto" means on a device, "cpu", "gpu" or "tpu"; `promised`: `ordered` or `sorted_keys`."""
    if queries <= FEW or (device == "cpu" and queries * keys <= SMALL):
        return "reference"
    if device == "gpu" and features <= MAX_FEATURES:
        return "pallas"
    return "splash" if device == "tpu" and promised and keys <= MOST_KEYS else "chunked"


def _check(query: jax.Array, key: jax.Array, value: jax.Array, visibility: Visibility, ordered: bool) -> None:
    batch, queries, heads, features = query.shape
    keys, kv_heads = key.shape[1:3]
    if key.shape != (batch, keys, kv_heads, features) or value.shape != key.shape or heads % kv_heads:
        raise ValueError(f"attention of query {query.shape} to key {key.shape} and value {value.shape}")
    shapes = [x.shape for x in (*visibility.queries, *visibility.keys)]
    if shapes != [(batch, queries)] * 2 + [(batch, keys)] * 2:
        raise ValueError(f"visibility {shapes} of {queries} queries and {keys} keys in {batch} rows")
    if ordered and queries != keys:
        raise ValueError(f"ordered attention of {queries} queries to {keys} keys; want as many")
