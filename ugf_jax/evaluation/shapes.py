"""Images of one shape together: which images an evaluation takes, in which batches, and what their shapes are called."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

ASPECTS = ("4:1", "3:1", "2:1", "16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16", "1:2", "1:3", "1:4")  # width : height


@dataclasses.dataclass(frozen=True)
class ShapeBatch:
    """Images that are computed together.

    Attributes:
      canvas: `(height, width)` in pixels that all of them are padded to.
      rows: of the dataset; each row of a plan is in exactly one batch.
      size: number of images to compute; where it is more than there are rows, the last is repeated and its copies ignored.
    """

    canvas: tuple[int, int]
    rows: tuple[int, ...]
    size: int


def plan_batches(
    heights: np.ndarray,
    widths: np.ndarray,
    padded_shape: Callable[[int, int], tuple[int, int]],
    limit: int | None = None,
    batch_pixels: int = 2**20,
) -> list[ShapeBatch]:
    """Batches of all images of a dataset, or of `limit` evenly spaced ones; a pure function of its arguments.

    All batches of one canvas have one size, so that each canvas is one compilation.

    Args:
      heights: pixels by row; rows with 0 hold no image and are left out.
      widths: likewise.
      padded_shape: the canvas that an image of a given height and width is computed on.
      limit: number of images, or None for all.
      batch_pixels: upper limit of a batch, but a batch has at least one image.
    """
    rows = np.flatnonzero(heights)
    if limit is not None and limit < len(rows):
        rows = rows[np.arange(limit) * len(rows) // limit]
    groups: dict[tuple[int, int], list[int]] = {}
    for row in rows.tolist():
        groups.setdefault(padded_shape(int(heights[row]), int(widths[row])), []).append(row)
    batches = []
    for canvas, members in sorted(groups.items(), key=lambda item: (math.prod(item[0]), item[0])):
        room = min(len(members), max(1, batch_pixels // math.prod(canvas)))
        size = 1 << room.bit_length() - 1
        batches += [ShapeBatch(canvas, tuple(members[i : i + size]), size) for i in range(0, len(members), size)]
    return batches


def aspect_class(height: int, width: int) -> str:
    """The nearest of `ASPECTS`, by ratio; `4:3` is wider than high."""

    def distance(name: str) -> float:
        w, h = name.split(":")
        return abs(math.log(width / height) - math.log(int(w) / int(h)))

    return min(ASPECTS, key=distance)


def scale_class(height: int, width: int) -> int:
    """The power of two nearest to the side in pixels of a square of the same area."""
    return 2 ** round(math.log2(height * width) / 2)
