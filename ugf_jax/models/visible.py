"""Attention between tokens that see each other by one rule; one function, behind it an implementation for each device.

The rule is `Visibility`: documents, positions and release positions as integers per token. Only the reference
implementation ever forms a `[queries, keys]` mask.
"""

import jax

from ugf_jax.models.kernels.reference import reference
from ugf_jax.models.kernels.visibility import EVERY, Visibility

__all__ = ["EVERY", "IMPLEMENTATIONS", "Visibility", "attend"]

IMPLEMENTATIONS = ("auto", "reference")


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    visibility: Visibility,
    implementation: str = "auto",
    ordered: bool = False,
) -> jax.Array:
    """Softmax attention of every query to the keys that it sees; logits, softmax and sums in float32.

    Logits are scaled by `features ** -0.5`. A query that sees no key gets 0. Keys that a query does not see change
    neither its output nor its gradient by a single bit.

    Args:
      query: `[batch, queries, heads, features]`.
      key: `[batch, keys, kv heads, features]`; kv heads divide heads, and `heads / kv heads` consecutive heads share one.
      value: like `key`.
      visibility: which query sees which key.
      implementation: one of `IMPLEMENTATIONS`.
      ordered: self-attention in packed rows: keys of a later index are hidden too, so that blocks of them can be
        skipped. Where documents are packed in order this changes nothing but the output of padding.

    Returns:
      `[batch, queries, heads, features]` in the dtype of `query`.

    Raises:
      ValueError: shapes do not fit together, or there is no such implementation.
    """
    _check(query, key, value, visibility, ordered)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"attention {implementation!r}; want one of {', '.join(IMPLEMENTATIONS)}")
    return reference(query, key, value, visibility, ordered)


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
