"""Pictures full of objects with details, and one question: what is where? Pure functions of number and split.

They teach a model to see. What an answer to a usual question says of a picture is a word, and which object it is about must be
found first; here an answer names place, size, colour, shape, outline and letter of about five objects, wherever they stand.
What is held out of the training split of `shapes` is held out here.
"""

import dataclasses
import random

from ugf_jax.data.records import Record
from ugf_jax.data.shapes import examples
from ugf_jax.data.shapes.drawing import extent
from ugf_jax.data.shapes.fine.drawing import draw
from ugf_jax.data.shapes.fine.examples import MAX_ASPECT
from ugf_jax.data.shapes.fine.graph import FineScene
from ugf_jax.data.shapes.fine.sampling import letters_on, outline_of
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, SHAPES, SIZES, Item, Scene
from ugf_jax.data.shapes.sampling import EDGE, between, fill, pick
from ugf_jax.data.shapes.splits import check_split

LINES = 8  # rows, and columns, that places are counted in
QUESTION = "What is where, by row and column?"
_TRIES = 60
_SIZES = ("small",) * 3 + ("medium",) * 2 + ("large",)
_OUTLINED = 0.5  # share of objects with an outline


def scene(index: int, split: str = "train") -> FineScene:
    """The scene of example `index` of a split ("train", "validation" or "test"): about five objects, none within another.

    Raises:
      InputError: no such split.
    """
    check_split(split)
    rng = random.Random(f"shapes busy scene {split} {index}")
    items = fill(split, _TRIES, lambda: _anything(rng))
    plain = Scene(pick(rng, tuple(BACKGROUNDS)), tuple(items))
    outlines = tuple(outline_of(rng, i, item) for i, item in enumerate(items) if rng.random() < _OUTLINED)
    return FineScene(plain, outlines, tuple(letters_on(rng, plain)), ())


def _anything(rng: random.Random) -> Item:
    shape, colour, size = pick(rng, SHAPES), pick(rng, tuple(COLOURS)), pick(rng, _SIZES)
    item = Item(shape, colour, 0, 0, between(rng, *SIZES[size]))
    left, top, right, bottom = (item.diameter * e + EDGE for e in extent(item.shape))
    return dataclasses.replace(item, x=between(rng, left, 1 - right), y=between(rng, top, 1 - bottom))


def listing(fine: FineScene) -> str:
    """Every object, row by row: `2 5 small cyan square, red outline, C; …`; rows and columns from 1 to `LINES`."""
    outlines = {outline.about: f", {outline.colour} outline" for outline in fine.outlines}
    written = {writing.about: f", {writing.text}" for writing in fine.writings if writing.on}
    found = []
    for i, item in enumerate(fine.scene.objects):
        row, column = int(item.y * LINES) + 1, int(item.x * LINES) + 1
        look = f"{item.size} {item.colour} {item.shape}{outlines.get(i, '')}{written.get(i, '')}"
        found.append((row, column, f"{row} {column} {look}"))
    return "; ".join(text for *_, text in sorted(found))


def picture_size(index: int, split: str = "train", max_side: int = 256) -> tuple[int, int]:
    """`(height, width)` of example `index`, as those of `fine`.

    Raises:
      InputError: `max_side` is too small to draw on.
    """
    return examples.numbered_size(f"shapes busy size {split} {index}", max_side, MAX_ASPECT)


def example(index: int, split: str = "train", max_side: int = 256) -> Record:
    """Example `index` of a split: a picture, its scene graph, and the question.

    Raises:
      InputError: no such split, or `max_side` too small to draw on.
    """
    drawn, size = scene(index, split), picture_size(index, split, max_side)
    return Record(
        key=f"busy-{split}-{index:08d}",
        images=(examples.encode_png(draw(drawn, *size)),),
        sizes=(size,),
        questions=({"question": QUESTION, "answer": listing(drawn), "kind": "listing"},),
        scene=drawn.to_json(),
        meta={"source": "busy", "split": split, "index": index},
    )
