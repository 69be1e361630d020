"""Numbered examples with fine details, pure functions of number and split."""

import random

from ugf_jax.data.records import Record
from ugf_jax.data.shapes.examples import encode_png, numbered_size
from ugf_jax.data.shapes.fine.drawing import draw
from ugf_jax.data.shapes.fine.graph import FineScene
from ugf_jax.data.shapes.fine.quiz import questions
from ugf_jax.data.shapes.fine.sampling import fine_scene
from ugf_jax.data.shapes.language import captions
from ugf_jax.data.shapes.quiz import in_rounds

MAX_ASPECT = 4 / 3  # at 256 pixels a letter is eight high at least


def scene(index: int, split: str = "train") -> FineScene:
    """The scene of example `index` of a split ("train", "validation" or "test").

    Raises:
      InputError: no such split.
    """
    return fine_scene(random.Random(f"shapes fine scene {split} {index}"), split)


def picture_size(index: int, split: str = "train", max_side: int = 256) -> tuple[int, int]:
    """`(height, width)` of example `index`: its longer side is `max_side`, its aspect ratio from 3:4 to 4:3, often square.

    Raises:
      InputError: `max_side` is too small to draw on.
    """
    return numbered_size(f"shapes fine size {split} {index}", max_side, MAX_ASPECT)


def example(index: int, split: str = "train", max_side: int = 256) -> Record:
    """Example `index` of a split; captions speak of the objects only, questions of the details and of the objects.

    Args:
      index: number of the example, from 0; there is no end.
      split: "train", "validation" or "test"; they differ by held-out combinations of what the objects are.
      max_side: longer side of the picture in pixels. Nothing but the picture depends on it.

    Raises:
      InputError: no such split, or `max_side` too small to draw on.
    """
    drawn = scene(index, split)
    height, width = picture_size(index, split, max_side)
    rng = random.Random(f"shapes fine words {split} {index}")
    return Record(
        key=f"fine-{split}-{index:08d}",
        images=(encode_png(draw(drawn, height, width)),),
        sizes=((height, width),),
        captions=captions(drawn.scene, rng),
        questions=in_rounds(lambda: questions(drawn, rng), split),
        scene=drawn.to_json(),
        meta={"source": "fine", "split": split, "index": index},
    )
