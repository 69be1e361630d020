"""Which attribute combinations belong to which split, so that test scenes are put together in ways never seen in training.

A combination is a colour with a shape ("red circle"), or two different shapes in a relation ("circle left of star"). Training
scenes hold training combinations only. Every validation (test) scene holds at least one validation (test) combination, and
none of the other held-out split. All shapes, colours and relations by themselves occur in training.
"""

import functools
import hashlib

from ugf_jax.data.shapes.graph import COLOURS, SHAPES, Scene
from ugf_jax.errors import InputError

SPLITS = ("train", "validation", "test")
_HELD_OUT = {1: "validation", 6: "test"}  # number in the colour grid → split
_SHARE = 16  # of 256 hash values, relations held out for each of validation and test
_SALT = 5  # chosen so that each relation is held out two to four times in each split


@functools.cache
def split_of_pair(shape: str, colour: str) -> str:
    """The split of a shape in a colour: each shape has one colour held out for validation and one for test."""
    number = list(COLOURS).index(colour) + 4 * SHAPES.index(shape)
    return _HELD_OUT.get(number % len(COLOURS), "train")


@functools.cache
def split_of_relation(first: str, relation: str, second: str) -> str:
    """The split of two shapes in a relation. Two of one shape always belong to training: counting needs them."""
    if first == second:
        return "train"
    value = hashlib.sha256(f"{first} {relation} {second} {_SALT}".encode()).digest()[0]
    return "validation" if value < _SHARE else "test" if value < 2 * _SHARE else "train"


def combinations(scene: Scene) -> dict[str, str]:
    """Every combination in a scene and its split. A relation and its inverse are one combination, named from one side."""
    found = {f"{o.colour} {o.shape}": split_of_pair(o.shape, o.colour) for o in scene.objects}
    numbers = range(len(scene.objects))
    for relation in ("left of", "above", "larger than", "inside"):
        for i in numbers:
            for j in numbers:
                if i != j and scene.holds(i, relation, j):
                    first, second = scene.objects[i].shape, scene.objects[j].shape
                    found[f"{first} {relation} {second}"] = split_of_relation(first, relation, second)
    return found


def belongs(scene: Scene, split: str) -> bool:
    """Whether a scene may be in a split.

    Raises:
      InputError: no such split.
    """
    check_split(split)
    splits = set(combinations(scene).values())
    return split in splits and splits <= {"train", split}


def check_split(split: str) -> None:
    """Raises an `InputError` unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise InputError(f"shapes: no split '{split}'; there are " + ", ".join(SPLITS))
