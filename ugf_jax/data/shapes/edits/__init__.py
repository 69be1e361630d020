"""Edits: a picture, an instruction, and the picture that follows from it exactly, with what makes a result right."""

from ugf_jax.data.shapes.edits.change import Edit, judge
from ugf_jax.data.shapes.edits.examples import edit, example, picture_size
from ugf_jax.data.shapes.edits.sampling import KINDS

__all__ = ["KINDS", "Edit", "edit", "example", "judge", "picture_size"]
