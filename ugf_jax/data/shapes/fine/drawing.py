"""Draws a scene with its details, anti-aliased at any size."""

import math

import numpy as np

from ugf_jax.data.shapes import drawing
from ugf_jax.data.shapes.fine import letters
from ugf_jax.data.shapes.fine.graph import INKS, FineScene, Outline, Writing
from ugf_jax.data.shapes.graph import COLOURS, Item, Scene


def draw(fine: FineScene, height: int, width: int) -> np.ndarray:
    """The picture of a scene with its details.

    Returns:
      uint8 `[height, width, 3]`, RGB.
    """
    image = drawing.draw(Scene(fine.scene.background, ()), height, width)
    outlines = {outline.about: outline for outline in fine.outlines}
    for number, item in enumerate(fine.scene.objects):
        _draw_object(image, item, outlines.get(number))
    for dot in fine.dots():
        drawing.paint(image, *drawing.coverage(dot, height, width), COLOURS[dot.colour])
    for writing in fine.writings:
        _draw_writing(image, fine.scene.objects[writing.about], writing)
    return image


def _draw_object(image: np.ndarray, item: Item, outline: Outline | None) -> None:
    """Where there is a line, all of the object is painted in its colour, and then in its own what the line leaves."""
    height, width = image.shape[:2]
    mask, row, column = drawing.coverage(item, height, width)
    if outline is not None:
        side = min(height, width)
        centre = np.array([item.x * width - column, item.y * height - row])
        lines = [polygon * item.diameter * side + centre for polygon in drawing.outline(item.shape)]
        line = letters.coverage(
            lines, 2 * outline.thickness * side, mask.shape[0], mask.shape[1], closed=True
        )  # half of it lies outside
        drawing.paint(image, mask, row, column, COLOURS[outline.colour])
        mask = np.maximum(mask, line) - line
    drawing.paint(image, mask, row, column, COLOURS[item.colour])


def _draw_writing(image: np.ndarray, item: Item, writing: Writing) -> None:
    height, width = image.shape[:2]
    side = min(height, width)
    across, down = (h * writing.cap * side for h in letters.half_size(writing.text))
    x, y = item.x * width + writing.x * side, item.y * height + writing.y * side
    column, row = max(math.floor(x - across) - 1, 0), max(math.floor(y - down) - 1, 0)
    columns, rows = min(math.ceil(x + across) + 1, width) - column, min(math.ceil(y + down) + 1, height) - row
    lines = [s * writing.cap * side + (x - column, y - row) for s in letters.strokes(writing.text)]
    mask = letters.coverage(lines, letters.STROKE * writing.cap * side, rows, columns)
    drawing.paint(image, mask, row, column, INKS[writing.ink])
