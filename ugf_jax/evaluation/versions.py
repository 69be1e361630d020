"""Versions of what figures depend on."""

import importlib.metadata

LIBRARIES = ("ugf-jax", "jax", "jaxlib", "flax", "numpy", "pillow", "opencv-python-headless")


def library_versions() -> dict[str, str]:
    """The version of each of `LIBRARIES`."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
