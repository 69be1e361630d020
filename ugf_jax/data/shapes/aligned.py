"""Scenes of `shapes` whose objects stand on the grid of the master codes, as pure functions of number and split.

The master sees every picture as `GRID`×`GRID` patches, whatever its size. An object anywhere, of any diameter, gives its edge
another row of patches each time, which a small transformer must learn to draw by seeing tens of thousands. Here each object
has the one diameter of its size class and is centred where four patches meet, in the middle of its part of the picture, so
that a shape is one pattern of a few patches for each size, wherever it stands, and can be drawn right after few examples. For
the same reason pictures have few aspect ratios. Captions, questions and splits are those of `shapes`.
"""

import dataclasses
import random

from ugf_jax.data.records import Record
from ugf_jax.data.shapes import examples
from ugf_jax.data.shapes.drawing import extent
from ugf_jax.data.shapes.graph import CELL_LIMITS, SIZES, Item, Scene
from ugf_jax.data.shapes.sampling import CONTAINED, CONTAINER, WEIGHTED_KINDS, apart, pick, scene_in_split
from ugf_jax.data.shapes.splits import belongs

GRID = 8
# Aspect ratios of pictures, as rows and columns of the buckets about 256×256 in patches of 16: squares thrice as often.
GRIDS = ((16, 16),) * 3 + ((17, 15), (18, 14), (19, 13), (21, 12), (15, 17), (14, 18), (13, 19), (12, 21))
PLACES = (0.25, 0.5, 0.75)  # centres of objects, along either side: edges of patches
_MARGIN = 0.01  # least distance to the edge, as a share of the shorter side
_GAP = 0.02  # least distance of the boxes around two objects, likewise


def align(scene: Scene) -> Scene | None:
    """The scene with each object in the middle of its part and its class's largest diameter; None where they then touch."""
    items: list[Item] = []
    for item in scene.objects:
        x, y = (PLACES[sum(value > limit for limit in CELL_LIMITS)] for value in (item.x, item.y))
        holds = any(o.inside == len(items) for o in scene.objects)
        sizes = CONTAINED if item.inside is not None else CONTAINER if holds else SIZES[item.size]
        items.append(dataclasses.replace(item, x=x, y=y, diameter=min(sizes[1], largest(item.shape))))
    outer_ones = [item for item in items if item.inside is None]
    room = all(_clear(a, b) for i, a in enumerate(outer_ones) for b in outer_ones[:i])
    return Scene(scene.background, tuple(items)) if room else None


def largest(shape: str) -> float:
    """The diameter with which a shape just keeps from the edge wherever it may stand."""
    return (PLACES[0] - _MARGIN) / max(extent(shape))


def _clear(first: Item, second: Item) -> bool:
    """Whether there is room between two objects in a square picture, the tightest case."""
    if apart(first, second):
        return True
    (left, top, right, bottom), (left2, top2, right2, bottom2) = _box(first), _box(second)
    return max(left - right2, left2 - right, top - bottom2, top2 - bottom) >= _GAP - 1e-9


def _box(item: Item) -> tuple[float, float, float, float]:
    left, top, right, bottom = (item.diameter * e for e in extent(item.shape))
    return item.x - left, item.y - top, item.x + right, item.y + bottom


def scene(index: int, split: str = "train") -> Scene:
    """The scene graph of example `index` of a split ("train", "validation" or "test").

    Raises:
      InputError: no such split.
    """
    rng = random.Random(f"shapes aligned scene {split} {index}")
    kind = pick(rng, WEIGHTED_KINDS)
    while True:
        found = align(scene_in_split(rng, split, kind))
        if found is not None and belongs(found, split):  # moving it can change how two objects stand to each other
            return found


def picture_size(index: int, split: str = "train", max_side: int = 256) -> tuple[int, int]:
    """`(height, width)` of example `index`: its longer side is `max_side`, its aspect ratio that of one of `GRIDS`.

    Raises:
      InputError: `max_side` is too small to draw on.
    """
    return grid_size(f"shapes aligned size {split} {index}", max_side)


def grid_size(seed: str, max_side: int) -> tuple[int, int]:
    """`(height, width)` of the picture with this seed: the aspect ratio of one of `GRIDS`.

    Raises:
      InputError: `max_side` is too small to draw on.
    """
    examples.check_side(max_side)
    rows, columns = pick(random.Random(seed), GRIDS)
    scale = max_side / max(rows, columns)
    return round(rows * scale), round(columns * scale)


def example(index: int, split: str = "train", max_side: int = 256) -> Record:
    """Example `index` of a split; arguments and errors are those of `ugf_jax.data.shapes.example`."""
    return examples.record("aligned", index, split, scene(index, split), picture_size(index, split, max_side))
