"""A sheet of examples with words under each: `python -m ugf_jax.data.shapes.poster FILE.png [shapes | fine | edits]`."""

import itertools
import sys
import textwrap
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ugf_jax.data.shapes import edits, examples, fine
from ugf_jax.data.shapes.drawing import draw
from ugf_jax.errors import InputError

_SIDE = 256  # of the pictures' longer side, in the units of the sheet; they are drawn twice as large
_COLUMNS = 4
_DPI = 100

Entry = tuple[np.ndarray, str]  # a picture, uint8 `[H, W, 3]`, and the words under it


def sheet(entries: Sequence[Entry]) -> np.ndarray:
    """Pictures side by side, in rows of four, on one scale.

    Returns:
      uint8 `[H, W, 3]`, RGB.
    """
    rows = -(-len(entries) // _COLUMNS)
    lines = max(words.count("\n") + 1 for _, words in entries)
    inches = 2.84 + 0.16 * lines  # of a row: pictures, and words below
    figure = Figure(figsize=(3.1 * _COLUMNS, inches * rows), dpi=_DPI, facecolor="white")
    longest = max(max(image.shape) for image, _ in entries)
    for number, (image, words) in enumerate(entries):
        row, column = divmod(number, _COLUMNS)
        height, width = (_SIDE * side / longest for side in image.shape[:2])
        below = 1 - (row + 2.75 / inches) / rows
        axes = figure.add_axes((column / _COLUMNS + 0.01, below, 0.96 / _COLUMNS, 2.67 / inches / rows))
        axes.imshow(image, extent=(0, width, 0, height), interpolation="antialiased")
        axes.set(xlim=(-1, _SIDE + 1), ylim=(-1, _SIDE + 1), anchor="W")
        axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor="0.75", linewidth=0.8))
        axes.axis("off")
        corner = column / _COLUMNS + 0.01, below - 0.09 / inches / rows
        figure.text(*corner, words, va="top", fontsize=8.5, linespacing=1.35)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _shapes() -> list[Entry]:
    """The longest caption, and two questions, of other kinds from one example to the next."""
    entries = []
    for number, index in enumerate((17, 26, 49, 34, 48, 15, 59, 51)):
        record = examples.example(index, max_side=64)
        start = 3 * number % len(record.questions)
        asked = (record.questions[start:] + record.questions)[:2]
        lines = textwrap.wrap(max(record.captions, key=len), 46) + _questions(asked)
        image = draw(examples.scene(index), *examples.picture_size(index, max_side=2 * _SIDE))
        entries.append((image, "\n".join(lines)))
    return entries


def _fine() -> list[Entry]:
    """Questions about details, all kinds but one, another from one example to the next."""
    entries = []
    for number, index in enumerate((0, 2, 3, 5, 6, 7, 9, 13)):
        kinds = set(fine.KINDS) - {fine.KINDS[-1 - number % len(fine.KINDS)]}
        asked = [q for q in fine.example(index, "test", max_side=64).questions if q["kind"] in kinds]
        image = fine.draw(fine.scene(index, "test"), *fine.picture_size(index, "test", 2 * _SIDE))
        entries.append((image, "\n".join(_questions(asked))))
    return entries


def _edits() -> list[Entry]:
    """One edit of each kind: the picture before, and the picture after with the instruction."""
    shown: dict[str, list[Entry]] = {}
    for index in itertools.count(20):
        made = edits.edit(index, "test")
        if made.kind not in shown and len(made.before.objects) > 1:
            size = edits.picture_size(index, "test", 2 * _SIDE)
            after = "\n".join(textwrap.wrap(f"→ {made.instruction}", 46))
            shown[made.kind] = [(draw(made.before, *size), ""), (draw(made.after, *size), after)]
        if len(shown) == len(edits.KINDS):
            return [entry for kind in edits.KINDS for entry in shown[kind]]
    raise AssertionError("there is no end")


def _questions(asked: Sequence[dict[str, str]]) -> list[str]:
    lines = []
    for q in asked:
        lines += textwrap.wrap(f"{q['question']} – {q['answer']}", 46, initial_indent="• ", subsequent_indent="   ")
    return lines


SHEETS: dict[str, Callable[[], list[Entry]]] = {"shapes": _shapes, "fine": _fine, "edits": _edits}


def main() -> None:
    """Writes a sheet to the file named on the command line.

    Raises:
      InputError: no file is named, or another sheet than there is.
    """
    target, name = (*sys.argv[1:], "shapes")[:2] if len(sys.argv) in (2, 3) else ("", "")
    if name not in SHEETS:
        known = " | ".join(SHEETS)
        raise InputError(f"name the PNG file to write: python -m ugf_jax.data.shapes.poster FILE.png [{known}]")
    cv2.imwrite(target, sheet(SHEETS[name]())[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
