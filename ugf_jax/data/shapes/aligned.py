"""Scenes of `shapes` whose objects stand on the grid of the master codes, as pure functions of number and split.

The master sees every picture as `GRID`×`GRID` patches, whatever its size. An object anywhere, of any diameter, gives its edge
another row of patches each time, which a small transformer must learn to draw by seeing tens of thousands. Here each object
has the one diameter of its size class and is centred on a patch, so that a shape is one pattern for each size and place, and
can be drawn right after few examples. For the same reason pictures have few aspect ratios; in longer ones than 7:4 a small
object would be a patch wide. Captions, questions and splits are those of `shapes`.
"""

import dataclasses
import random

from ugf_jax.data.records import Record
from ugf_jax.data.shapes import examples
from ugf_jax.data.shapes.drawing import extent
from ugf_jax.data.shapes.graph import SIZES, Item, Scene
from ugf_jax.data.shapes.sampling import CONTAINED, CONTAINER, EDGE, WEIGHTED_KINDS, apart, pick, scene_in_split
from ugf_jax.data.shapes.splits import belongs

GRID = 16
# Aspect ratios of pictures, as rows and columns of the buckets about 256×256 in patches of 16: squares thrice as often.
GRIDS = ((16, 16),) * 3 + ((17, 15), (18, 14), (19, 13), (21, 12), (15, 17), (14, 18), (13, 19), (12, 21))
# Patches, of each third of the picture, that objects are centred on, the nearest to the third's middle first.
_PATCHES = ((3, 4), (7, 8), (12, 11))


def align(scene: Scene) -> Scene | None:
    """The scene with each object on the nearest patch, of its class's largest diameter; None where they then touch."""
    items: list[Item] = []
    for item in scene.objects:
        if item.inside is not None:
            outer = items[item.inside]
            items.append(dataclasses.replace(item, x=outer.x, y=outer.y, diameter=CONTAINED[1]))
            continue
        holds = any(o.inside == len(items) for o in scene.objects)
        grown = dataclasses.replace(item, diameter=CONTAINER[1] if holds else SIZES[item.size][1])
        left, top, right, bottom = (grown.diameter * e + EDGE for e in extent(item.shape))
        x, y = _on_grid(item.x, left, 1 - right), _on_grid(item.y, top, 1 - bottom)
        items.append(dataclasses.replace(grown, x=x, y=y))
    outer_ones = [item for item in items if item.inside is None]
    room = all(apart(a, b) for i, a in enumerate(outer_ones) for b in outer_ones[:i])
    return Scene(scene.background, tuple(items)) if room else None


def _on_grid(place: float, least: float, most: float) -> float:
    """The middle of the patch for an object at `place`; where none of its third keeps from `least` to `most`, the innermost."""
    third = _PATCHES[min(int(3 * place), 2)]
    middles = [(patch + 0.5) / GRID for patch in third]
    if third == _PATCHES[1]:  # either is as near to the middle as the other
        middles.sort(key=lambda m: abs(m - place))
    return next((m for m in middles if least <= m <= most), middles[-1])


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
