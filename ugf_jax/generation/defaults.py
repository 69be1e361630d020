"""Defaults that commands tell before JAX is loaded: the model that comes with the package draws best with them."""

GUIDANCE = 1.5
TEMPERATURE = 0.5  # of master codes
