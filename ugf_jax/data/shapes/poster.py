"""A sheet of examples with a caption and questions under each: `python -m ugf_jax.data.shapes.poster FILE.png`."""

import sys
import textwrap

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ugf_jax.data.shapes.drawing import draw
from ugf_jax.data.shapes.examples import example, picture_size, scene
from ugf_jax.errors import InputError

_INDICES = (17, 26, 49, 34, 48, 15, 59, 51)
_COLUMNS = 4
_DPI = 100


def poster(indices: tuple[int, ...] = _INDICES, split: str = "train", max_side: int = 256) -> np.ndarray:
    """Examples side by side, in rows of four.

    Returns:
      uint8 `[H, W, 3]`, RGB.
    """
    rows = -(-len(indices) // _COLUMNS)
    figure = Figure(figsize=(3.1 * _COLUMNS, 4.3 * rows), dpi=_DPI, facecolor="white")
    for number, index in enumerate(indices):
        row, column = divmod(number, _COLUMNS)
        height, width = picture_size(index, split, max_side)
        axes = figure.add_axes((column / _COLUMNS + 0.01, 1 - (row + 0.64) / rows, 0.96 / _COLUMNS, 0.62 / rows))
        image = draw(scene(index, split), 2 * height, 2 * width)
        axes.imshow(image, extent=(0, width, 0, height), interpolation="antialiased")
        axes.set(xlim=(-1, max_side + 1), ylim=(-1, max_side + 1), anchor="W")
        axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor="0.75", linewidth=0.8))
        axes.axis("off")
        corner = column / _COLUMNS + 0.01, 1 - (row + 0.66) / rows
        figure.text(*corner, _words(index, split, number), va="top", fontsize=8.5, linespacing=1.35)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _words(index: int, split: str, number: int) -> str:
    """The longest caption, and two questions, of other kinds from one example to the next."""
    record = example(index, split, max_side=64)
    lines = textwrap.wrap(max(record.captions, key=len), 46)
    start = 3 * number % len(record.questions)
    for q in (record.questions[start:] + record.questions)[:2]:
        lines += textwrap.wrap(f"{q['question']} – {q['answer']}", 46, initial_indent="• ", subsequent_indent="   ")
    return "\n".join(lines)


def main() -> None:
    """Writes the sheet to the file named on the command line.

    Raises:
      InputError: no file is named.
    """
    if len(sys.argv) != 2:
        raise InputError("name the PNG file to write: python -m ugf_jax.data.shapes.poster FILE.png")
    cv2.imwrite(sys.argv[1], poster()[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
