"""The part of an image that both encoders see: cropped to a shape that the transformer knows, no side stretched.

Sizes are multiples of 32 pixels. As in Lumina-mGPT, the size is the one whose shape fits best, and the image is shrunk by
halves, then resized to cover that size, then cropped.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

STEP = 32  # pixels of a grid that a size token counts
Size = tuple[int, int]  # (height, width)


class Cropped(NamedTuple):
    """A crop.

    Attributes:
      image: uint8 `[height, width, 3]` of exactly the size wanted, for the image tokenizer.
      region: uint8 `[h, w, 3]`, the same part of the original in its own resolution, for the vision tower.
    """

    image: np.ndarray
    region: np.ndarray


def crop_sizes(side: int, longest: float = 4.0, step: int = STEP) -> list[Size]:
    """Sizes `(height, width)` with as many grids of `step` pixels as fit into `side`², sides of at most `longest` to one."""
    grids = (side // step) ** 2
    found, across, down = [], grids, 1
    while across > 0:
        if max(across, down) / min(across, down) <= longest:
            found.append((down * step, across * step))
        if (down + 1) * across <= grids:
            down += 1
        else:
            across -= 1
    return found


def best_size(height: int, width: int, sizes: Sequence[Size]) -> Size:
    """The size of which an image of `height` × `width` loses least; of equals the widest, then the highest."""

    def kept(size: Size) -> tuple[float, int, int]:
        down, across = size[0] / height, size[1] / width
        return min(down, across) / max(down, across), size[1], size[0]

    return max(sizes, key=kept)


def crop(image: np.ndarray, size: Size, at: tuple[float, float] = (0.5, 0.5)) -> Cropped:
    """Crops an image.

    Args:
      image: uint8 `[h, w, 3]`.
      size: `(height, width)` wanted.
      at: where in what is left over the crop lies, down and across, from 0 to 1.
    """
    picture = Image.fromarray(image)
    while picture.width >= 2 * size[1] and picture.height >= 2 * size[0]:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    scale = max(size[1] / picture.width, size[0] / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    top, left = (round((whole - part) * where) for whole, part, where in zip(picture.size[::-1], size, at, strict=True))
    made = np.asarray(picture)[top : top + size[0], left : left + size[1]]
    down, across = image.shape[0] / picture.height, image.shape[1] / picture.width
    rows = slice(round(top * down), max(round((top + size[0]) * down), 1))
    columns = slice(round(left * across), max(round((left + size[1]) * across), 1))
    return Cropped(made, image[rows, columns])
