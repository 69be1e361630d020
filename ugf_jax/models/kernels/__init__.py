"""Implementations of attention between tokens that see each other by `Visibility`; models call `ugf_jax.models.visible`."""
