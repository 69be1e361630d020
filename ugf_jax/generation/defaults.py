"""Defaults that commands tell before JAX is loaded."""

GUIDANCE = 2.0  # the model that comes with the package draws best with it
