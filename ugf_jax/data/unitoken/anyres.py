"""AnyRes (Liu et al. 2024, LLaVA-NeXT): an image for a vision tower of one size, as a whole and in parts of higher resolution.

The image is squashed to the tower's square (the *base* crop), and fitted into the canvas of several such squares that wastes
least (a *pinpoint*), which is cut into crops. In the sequence come the features of the base crop, then those of the canvas, row
by row, without the rows or columns that are padding only, a newline after each row.
"""

import dataclasses
import math

import numpy as np
from PIL import Image

from ugf_jax.config import POSITIVE, setting
from ugf_jax.errors import InputError

NEWLINE = -1  # among features: the embedding of the newline token


@dataclasses.dataclass(frozen=True)
class AnyResSettings:
    """Sizes; the defaults are UniToken's."""

    size: int = setting(384, POSITIVE, "side in pixels of a crop")
    patch: int = setting(14, POSITIVE, "pixels a side of a feature")
    pinpoints: tuple[tuple[int, int], ...] = setting(
        ((384, 768), (768, 384), (768, 768), (384, 1152), (1152, 384)),
        doc="(width, height) of canvases, in the order in which they are tried; empty: the base crop alone",
    )

    @property
    def grid(self) -> int:
        """Features along a side of a crop."""
        return self.size // self.patch

    @property
    def most_crops(self) -> int:
        """Crops that an image may have."""
        return 1 + max((width * height // self.size**2 for width, height in self.pinpoints), default=0)

    def validate(self, path: str) -> None:
        """Refuses canvases that crops do not fill."""
        for number, sides in enumerate(self.pinpoints):
            if any(side < 1 or side % self.size for side in sides):
                raise InputError(f"{path}.pinpoints[{number}] is {sides}; want multiples of {path}.size, {self.size}")


def choose(height: int, width: int, pinpoints: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The canvas (width, height) that shows most pixels of an image and, of such, wastes least; the first of equals."""
    found, most, waste = pinpoints[0], 0, math.inf
    for canvas in pinpoints:
        scale = min(canvas[0] / width, canvas[1] / height)
        shown = min(int(width * scale) * int(height * scale), width * height)
        unused = canvas[0] * canvas[1] - shown
        if shown > most or (shown == most and unused < waste):
            found, most, waste = canvas, shown, unused
    return found


def crops(image: np.ndarray, settings: AnyResSettings) -> np.ndarray:
    """The base crop, then those of the canvas row by row.

    Args:
      image: uint8 `[height, width, 3]`.
      settings: sizes.

    Returns:
      uint8 `[crops, size, size, 3]`.
    """
    size, picture = settings.size, Image.fromarray(image)
    found = [np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))]
    if settings.pinpoints:
        canvas = _fitted(picture, choose(image.shape[0], image.shape[1], settings.pinpoints))
        rows, columns = canvas.shape[0] // size, canvas.shape[1] // size
        found += list(canvas.reshape(rows, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3))
    return np.stack(found)


def _fitted(picture: Image.Image, canvas: tuple[int, int]) -> np.ndarray:
    """The picture as large as fits, in the middle of a black canvas (width, height): uint8 `[height, width, 3]`."""
    across, down = canvas[0] / picture.width, canvas[1] / picture.height
    if across < down:
        size = canvas[0], min(math.ceil(picture.height * across), canvas[1])
    else:
        size = min(math.ceil(picture.width * down), canvas[0]), canvas[1]
    made = Image.new("RGB", canvas)
    made.paste(picture.resize(size, Image.Resampling.BICUBIC), ((canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2))
    return np.asarray(made)


def features(height: int, width: int, settings: AnyResSettings) -> np.ndarray:
    """What stands in the sequence of an image of `height` × `width` pixels.

    Returns:
      int32 `[n]`: number of the feature among those of all crops, crop after crop, row by row; `NEWLINE` for a newline.
    """
    grid = settings.grid
    base = np.arange(grid * grid)
    if not settings.pinpoints:
        return np.append(base, NEWLINE).astype(np.int32)
    canvas = choose(height, width, settings.pinpoints)
    rows, columns = (np.arange(side // settings.size * grid) for side in (canvas[1], canvas[0]))
    crop = 1 + rows[:, None] // grid * (canvas[0] // settings.size) + columns // grid
    numbers = _unpadded(crop * grid**2 + rows[:, None] % grid * grid + columns % grid, height, width)
    lines = np.pad(numbers, ((0, 0), (0, 1)), constant_values=NEWLINE)
    return np.concatenate([base, lines.ravel()]).astype(np.int32)


def _unpadded(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """A grid `[rows, columns]` without the margins where an image of this shape, fitted into it, is not."""
    rows, columns = grid.shape
    if width / height > columns / rows:
        margin = (rows - int(height * (columns / width))) // 2
        return grid[margin : rows - margin]
    margin = (columns - int(width * (rows / height))) // 2
    return grid[:, margin : columns - margin]


def most_features(settings: AnyResSettings) -> int:
    """The most tokens that the features of an image take, newlines included."""
    grid, size = settings.grid, settings.size
    lines = [height // size * grid * (width // size * grid + 1) for width, height in settings.pinpoints]
    return grid**2 + max(lines, default=1)
