"""Scenes with fine details: small letters, thin outlines, small dots, and questions that only they answer.

A picture squashed to 256×256 and held in 64 codes cannot carry them, so questions about them measure what the codes of the
full resolution are worth.
"""

from ugf_jax.data.shapes.fine.drawing import draw
from ugf_jax.data.shapes.fine.examples import example, picture_size, scene
from ugf_jax.data.shapes.fine.graph import Cluster, Dot, FineScene, Outline, Writing
from ugf_jax.data.shapes.fine.quiz import KINDS, questions

__all__ = [
    "KINDS",
    "Cluster",
    "Dot",
    "FineScene",
    "Outline",
    "Writing",
    "draw",
    "example",
    "picture_size",
    "questions",
    "scene",
]
