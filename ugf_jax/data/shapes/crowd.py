"""Pictures full of aligned objects, for image tokenizers, as pure functions of number and split.

A scene of `aligned` has one to four objects, and what is small in it covers a hundredth of the picture, so that a decoder
learns little of small shapes from each. Here objects of all shapes stand wherever there is room, where four patches meet and
with the diameters of `aligned`. There are no captions and no questions: nobody would ask for such pictures. Colours of shapes
that a split of `shapes` holds out are held out here.
"""

import random

from ugf_jax.data.records import Record
from ugf_jax.data.shapes import aligned, examples
from ugf_jax.data.shapes.drawing import draw, extent
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, SHAPES, SIZES, Item, Scene
from ugf_jax.data.shapes.sampling import EDGE, fill, pick
from ugf_jax.data.shapes.splits import check_split

_TRIES = 300
_SIZES = ("small",) * 6 + ("medium",)  # of which a decoder learns least elsewhere
_MIDDLES = tuple(patch / aligned.GRID for patch in range(1, aligned.GRID))


def scene(index: int, split: str = "train") -> Scene:
    """The scene graph of example `index` of a split ("train", "validation" or "test"): about seven objects.

    Raises:
      InputError: no such split.
    """
    check_split(split)
    rng = random.Random(f"shapes crowd scene {split} {index}")
    items = fill(split, _TRIES, lambda: _anything(rng), _clear)
    return Scene(pick(rng, tuple(BACKGROUNDS)), tuple(items))


def _anything(rng: random.Random) -> Item:
    shape, colour = pick(rng, SHAPES), pick(rng, tuple(COLOURS))
    return Item(shape, colour, pick(rng, _MIDDLES), pick(rng, _MIDDLES), SIZES[pick(rng, _SIZES)][1])


def _clear(item: Item) -> bool:
    """Whether an object keeps from the picture's edge."""
    left, top, right, bottom = (item.diameter * e + EDGE for e in extent(item.shape))
    return left <= item.x <= 1 - right and top <= item.y <= 1 - bottom


def picture_size(index: int, split: str = "train", max_side: int = 256) -> tuple[int, int]:
    """`(height, width)` of example `index`; its aspect ratio is one of those of `aligned`.

    Raises:
      InputError: `max_side` is too small to draw on.
    """
    return aligned.grid_size(f"shapes crowd size {split} {index}", max_side)


def example(index: int, split: str = "train", max_side: int = 256) -> Record:
    """Example `index` of a split: a picture and its scene graph, without words.

    Raises:
      InputError: no such split, or `max_side` too small to draw on.
    """
    drawn, size = scene(index, split), picture_size(index, split, max_side)
    return Record(
        key=f"crowd-{split}-{index:08d}",
        images=(examples.encode_png(draw(drawn, *size)),),
        sizes=(size,),
        scene=drawn.to_json(),
        meta={"source": "crowd", "split": split, "index": index},
    )
