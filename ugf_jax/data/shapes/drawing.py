"""Draws a scene anti-aliased at any size and aspect ratio."""

import functools
import math

import cv2
import numpy as np

from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, TINTS, Item, Scene

# Area inside the outline of each shape at diameter 1, as a share of the circle's: spiky shapes look larger than their area.
_AREAS = {
    "circle": 1.0,
    "square": 1.0,
    "triangle": 0.75,
    "diamond": 0.9,
    "star": 0.75,
    "heart": 0.95,
    "ring": 1.0,
    "cross": 0.8,
}
_HOLE = 0.5  # inner diameter of a ring
_ARM = 0.36  # width of a cross's arms as a share of its length
_VERTICES = 128  # of a circle: it stays within 0.0003 of its radius
_SUBPIXEL_BITS = 4
_PAINTS = COLOURS | TINTS


@functools.cache
def outline(shape: str) -> tuple[np.ndarray, ...]:
    """Polygons of a shape of diameter 1 with its centre of area at the origin.

    Returns:
      float64 `[points, 2]` (x, y; y down) each; a second polygon is a hole.

    Raises:
      KeyError: not one of `SHAPES`.
    """
    points = _corners(shape)
    area, centre = _area_and_centre(points)
    polygon = (points - centre) * math.sqrt(_AREAS[shape] * math.pi / 4 / area)
    return (polygon, polygon * _HOLE) if shape == "ring" else (polygon,)


def _corners(shape: str) -> np.ndarray:
    turn = np.linspace(0, 2 * math.pi, _VERTICES, endpoint=False)
    if shape in ("circle", "ring"):
        return np.stack([np.sin(turn), -np.cos(turn)], 1)
    if shape == "heart":
        x = np.sin(turn) ** 3
        y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)) / 16
        return np.stack([x, y], 1)
    if shape == "star":
        radius = np.tile([1.0, 0.45], 5)
        turn = np.arange(10) * math.pi / 5
        return np.stack([radius * np.sin(turn), -radius * np.cos(turn)], 1)
    if shape == "cross":
        a = _ARM
        return np.array(
            [(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a)]
        )
    corners = {
        "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        "diamond": [(0, -1.2), (0.95, 0), (0, 1.2), (-0.95, 0)],
        "triangle": [(0, -math.sqrt(3)), (1, 0), (-1, 0)],
    }
    return np.array(corners[shape], np.float64)


def _area_and_centre(points: np.ndarray) -> tuple[float, np.ndarray]:
    following = np.roll(points, -1, axis=0)
    cross = points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]
    return abs(cross.sum()) / 2, ((points + following) * cross[:, None]).sum(0) / (3 * cross.sum())


@functools.cache
def extent(shape: str) -> tuple[float, float, float, float]:
    """Distances from the centre of a shape of diameter 1 to its left, top, right and bottom."""
    (x0, y0), (x1, y1) = outline(shape)[0].min(0), outline(shape)[0].max(0)
    return float(-x0), float(-y0), float(x1), float(y1)


@functools.cache
def radius(shape: str) -> float:
    """Distance from the centre of a shape of diameter 1 to its farthest point."""
    return float(np.linalg.norm(outline(shape)[0], axis=1).max())


def box(item: Item, height: int, width: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an object in pixels, in a picture of that size."""
    side = item.diameter * min(height, width)
    left, top, right, bottom = (side * e for e in extent(item.shape))
    x, y = item.x * width, item.y * height
    return x - left, y - top, x + right, y + bottom


def coverage(item: Item, height: int, width: int) -> tuple[np.ndarray, int, int]:
    """How much of each pixel an object covers.

    Returns:
      uint8 `[rows, columns]` from 0 to 255, and the row and column in the picture of its first pixel.
    """
    left, top, right, bottom = box(item, height, width)
    column, row = max(math.floor(left) - 1, 0), max(math.floor(top) - 1, 0)
    columns, rows = min(math.ceil(right) + 1, width) - column, min(math.ceil(bottom) + 1, height) - row
    if columns <= 0 or rows <= 0:
        return np.zeros((0, 0), np.uint8), row, column
    samples = 8 if max(columns, rows) <= 64 else 4
    centre = np.array([item.x * width - column, item.y * height - row])
    side = item.diameter * min(height, width)
    # OpenCV puts pixel centres at whole numbers, hence the half sample.
    polygons = [((p * side + centre) * samples - 0.5) * (1 << _SUBPIXEL_BITS) for p in outline(item.shape)]
    fine = np.zeros((rows * samples, columns * samples), np.uint8)
    cv2.fillPoly(fine, [np.rint(p).astype(np.int32) for p in polygons], (255,), cv2.LINE_8, _SUBPIXEL_BITS)
    return cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA), row, column


def draw(scene: Scene, height: int, width: int) -> np.ndarray:
    """The picture of a scene.

    Args:
      scene: what to draw; later objects lie over earlier ones.
      height: in pixels.
      width: in pixels.

    Returns:
      uint8 `[height, width, 3]`, RGB.
    """
    image = np.empty((height, width, 3), np.uint8)
    image[:] = BACKGROUNDS[scene.background]
    for item in scene.objects:
        paint(image, *coverage(item, height, width), _PAINTS[item.colour])
    return image


def paint(image: np.ndarray, mask: np.ndarray, row: int, column: int, colour: tuple[int, int, int]) -> None:
    """Lays a colour over a picture, in place.

    Args:
      image: uint8 `[H, W, 3]`, RGB.
      mask: uint8 `[rows, columns]`, how much of each pixel it covers, from 0 to 255.
      row: of the picture, of the mask's first pixel.
      column: likewise.
      colour: RGB.
    """
    patch = image[row : row + mask.shape[0], column : column + mask.shape[1]]
    alpha = mask[..., None].astype(np.uint16)
    patch[:] = (patch * (255 - alpha) + np.array(colour, np.uint16) * alpha + 127) // 255
