"""UGF-JAX: train one model that understands and generates images and text at any resolution."""

__version__ = "0.1.0"
