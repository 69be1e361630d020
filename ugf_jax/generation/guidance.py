"""Classifier-free guidance (Ho & Salimans 2022) for master codes: away from what would be drawn without the prompt."""

import jax


def guide(conditional: jax.Array, unconditional: jax.Array, scale: jax.Array | float) -> jax.Array:
    """`u + scale · (c - u)` of logits `[..., ids]`; scale 1 is no guidance.

    The unconditional logits are those of a document that begins with the BOI of the image, at position 0.
    """
    return unconditional + scale * (conditional - unconditional)
