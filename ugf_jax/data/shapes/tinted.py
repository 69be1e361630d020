"""Aligned scenes in more colours, as pure functions of number and split.

In scenes of a split each shape has seven of the nine colours. A small model learns from them which colours a shape has, and
draws another shape where a prompt asks for one of the two others. Here three of four colours are among twenty more (`TINTS`),
of which every shape has all. Prompts, questions of evaluations and the checker know the nine only, and what a split holds out
of these is held out here.
"""

import dataclasses
import random

from ugf_jax.data.records import Record
from ugf_jax.data.shapes import aligned, examples
from ugf_jax.data.shapes.graph import TINTS, Scene
from ugf_jax.data.shapes.sampling import pick

_TINTED = 0.75  # share of a scene's colours
_FIRST = 1_000_000_000  # of the aligned scenes that these are: none that `aligned:N` has


def scene(index: int, split: str = "train") -> Scene:
    """The scene graph of example `index` of a split: that of `aligned` with other colours; what was alike stays alike.

    Raises:
      InputError: no such split.
    """
    plain = aligned.scene(_FIRST + index, split)
    rng = random.Random(f"shapes tinted scene {split} {index}")
    left, found = list(TINTS), {}
    for item in plain.objects:
        if item.colour not in found:
            found[item.colour] = item.colour
            if rng.random() < _TINTED:
                found[item.colour] = pick(rng, left)
                left.remove(found[item.colour])
    return Scene(plain.background, tuple(dataclasses.replace(item, colour=found[item.colour]) for item in plain.objects))


def example(index: int, split: str = "train", max_side: int = 256) -> Record:
    """Example `index` of a split; arguments and errors are those of `ugf_jax.data.shapes.example`."""
    size = aligned.grid_size(f"shapes tinted size {split} {index}", max_side)
    return examples.record("tinted", index, split, scene(index, split), size)
