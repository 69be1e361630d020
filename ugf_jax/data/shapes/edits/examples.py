"""Numbered edits as conversations of two images, pure functions of number and split."""

import random

from ugf_jax.data.records import Record
from ugf_jax.data.shapes.drawing import draw
from ugf_jax.data.shapes.edits.change import Edit
from ugf_jax.data.shapes.edits.sampling import random_edit
from ugf_jax.data.shapes.examples import MAX_ASPECT, encode_png, numbered_size
from ugf_jax.data.sources.fields import IMAGE_MARK


def edit(index: int, split: str = "train") -> Edit:
    """Edit `index` of a split ("train", "validation" or "test").

    Raises:
      InputError: no such split.
    """
    return random_edit(random.Random(f"shapes edit {split} {index}"), split)


def picture_size(index: int, split: str = "train", max_side: int = 256) -> tuple[int, int]:
    """`(height, width)` of both pictures of edit `index`, as varied as those of `ugf_jax.data.shapes.picture_size`.

    Raises:
      InputError: `max_side` is too small to draw on.
    """
    return numbered_size(f"shapes edit size {split} {index}", max_side, MAX_ASPECT)


def example(index: int, split: str = "train", max_side: int = 256) -> Record:
    """Edit `index` of a split as a conversation: the user shows a picture and says what to change, the model draws.

    Args:
      index: number of the example, from 0; there is no end.
      split: "train", "validation" or "test"; they differ by held-out combinations of what the second picture shows.
      max_side: longer side of the pictures in pixels. Nothing but the pictures depends on it.

    Returns:
      A record of two images of one size, the scene graph of the first, and in `meta["edit"]` the `Edit` as JSON.

    Raises:
      InputError: no such split, or `max_side` too small to draw on.
    """
    made = edit(index, split)
    size = picture_size(index, split, max_side)
    return Record(
        key=f"edits-{split}-{index:08d}",
        images=tuple(encode_png(draw(scene, *size)) for scene in (made.before, made.after)),
        sizes=(size, size),
        turns=(
            {"from": "human", "value": f"{IMAGE_MARK} {made.instruction}"},
            {"from": "gpt", "value": IMAGE_MARK},
        ),
        scene=made.before.to_json(),
        meta={"source": "edits", "split": split, "index": index, "edit": made.to_json()},
    )
