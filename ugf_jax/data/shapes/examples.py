"""Numbered examples: a picture with captions, questions and its scene graph, as a pure function of number and split."""

import random

import cv2
import numpy as np

from ugf_jax.data.records import Record
from ugf_jax.data.shapes.drawing import draw
from ugf_jax.data.shapes.graph import Scene
from ugf_jax.data.shapes.language import captions
from ugf_jax.data.shapes.quiz import in_rounds, questions
from ugf_jax.data.shapes.sampling import scene_in_split
from ugf_jax.errors import InputError

MAX_ASPECT = 2.5
_SQUARE_SHARE = 0.35
_LEAST_SIDE = 40  # of the longer side; below it small shapes are a few pixels


def scene(index: int, split: str = "train") -> Scene:
    """The scene graph of example `index` of a split ("train", "validation" or "test").

    Raises:
      InputError: no such split.
    """
    return scene_in_split(random.Random(f"shapes scene {split} {index}"), split)


def picture_size(index: int, split: str = "train", max_side: int = 256) -> tuple[int, int]:
    """`(height, width)` of example `index`: its longer side is `max_side`, its aspect ratio from 1:2.5 to 2.5:1, often square.

    Raises:
      InputError: `max_side` is too small to draw on.
    """
    return numbered_size(f"shapes size {split} {index}", max_side, MAX_ASPECT)


def numbered_size(seed: str, max_side: int, max_aspect: float) -> tuple[int, int]:
    """`(height, width)` of the picture with this seed; more than a third are square.

    Raises:
      InputError: `max_side` is too small to draw on.
    """
    check_side(max_side)
    rng = random.Random(seed)
    aspect = 1.0 if rng.random() < _SQUARE_SHARE else max_aspect ** (2 * rng.random() - 1)
    return (round(max_side / aspect), max_side) if aspect >= 1 else (max_side, round(max_side * aspect))


def check_side(max_side: int) -> None:
    """Raises an `InputError` if pictures of that size are too small to draw on."""
    if max_side < _LEAST_SIDE:
        raise InputError(f"shapes: max_side is {max_side}; want at least {_LEAST_SIDE} pixels")


def example(index: int, split: str = "train", max_side: int = 256) -> Record:
    """Example `index` of a split.

    Args:
      index: number of the example, from 0; there is no end.
      split: "train", "validation" or "test"; they differ by held-out combinations (see `ugf_jax.data.shapes.splits`).
      max_side: longer side of the picture in pixels. Nothing but the picture depends on it.

    Raises:
      InputError: no such split, or `max_side` too small to draw on.
    """
    return record("shapes", index, split, scene(index, split), picture_size(index, split, max_side))


def record(source: str, index: int, split: str, drawn: Scene, size: tuple[int, int]) -> Record:
    """A scene as a record with picture, captions and questions.

    Args:
      source: kind of scenes, which names the record and seeds its words.
      index: number of the example in its split.
      split: it is of.
      drawn: the scene.
      size: (height, width) of the picture in pixels.
    """
    rng = random.Random(f"{source} words {split} {index}")
    return Record(
        key=f"{source}-{split}-{index:08d}",
        images=(encode_png(draw(drawn, *size)),),
        sizes=(size,),
        captions=captions(drawn, rng),
        questions=in_rounds(lambda: questions(drawn, rng), split),
        scene=drawn.to_json(),
        meta={"source": source, "split": split, "index": index},
    )


def encode_png(image: np.ndarray) -> bytes:
    """PNG file of an RGB uint8 `[H, W, 3]` image."""
    return cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()
