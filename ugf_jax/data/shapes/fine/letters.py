"""A stroke font of capital letters that stay apart at eight pixels of height, drawn anti-aliased at any size."""

import cv2
import numpy as np

WIDTH = 0.62  # of a letter, as a share of its height
STROKE = 0.17  # thickness of its strokes, likewise
_GAP = 0.34  # between letters, likewise
_SUBPIXEL_BITS = 4

# Strokes of each letter from (0, 0), top left, to (1, 1), bottom right. Letters that look alike when small are left out:
# B, D, G, I, M, O, Q, R, S and W.
GLYPHS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "A": (((0, 1), (0.5, 0), (1, 1)), ((0.2, 0.65), (0.8, 0.65))),
    "C": (((1, 0.2), (0.75, 0), (0.25, 0), (0, 0.2), (0, 0.8), (0.25, 1), (0.75, 1), (1, 0.8)),),
    "E": (((1, 0), (0, 0), (0, 1), (1, 1)), ((0, 0.5), (0.8, 0.5))),
    "F": (((1, 0), (0, 0), (0, 1)), ((0, 0.5), (0.8, 0.5))),
    "H": (((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0.5), (1, 0.5))),
    "J": (((1, 0), (1, 0.8), (0.75, 1), (0.25, 1), (0, 0.8)),),
    "K": (((0, 0), (0, 1)), ((1, 0), (0, 0.6)), ((0.35, 0.42), (1, 1))),
    "L": (((0, 0), (0, 1), (1, 1)),),
    "N": (((0, 1), (0, 0), (1, 1), (1, 0)),),
    "P": (((0, 1), (0, 0), (0.7, 0), (1, 0.15), (1, 0.4), (0.7, 0.55), (0, 0.55)),),
    "T": (((0, 0), (1, 0)), ((0.5, 0), (0.5, 1))),
    "U": (((0, 0), (0, 0.8), (0.25, 1), (0.75, 1), (1, 0.8), (1, 0)),),
    "V": (((0, 0), (0.5, 1), (1, 0)),),
    "X": (((0, 0), (1, 1)), ((1, 0), (0, 1))),
    "Y": (((0, 0), (0.5, 0.5), (1, 0)), ((0.5, 0.5), (0.5, 1))),
    "Z": (((0, 0), (1, 0), (0, 1), (1, 1)),),
}
LETTERS = "".join(GLYPHS)


def half_size(text: str) -> tuple[float, float]:
    """Half the width and half the height of a text of cap height 1, its strokes included."""
    return (len(text) * WIDTH + (len(text) - 1) * _GAP + STROKE) / 2, (1 + STROKE) / 2


def strokes(text: str) -> list[np.ndarray]:
    """The strokes of a text of cap height 1 around the origin, float64 `[points, 2]` (x, y; y down) each.

    Raises:
      KeyError: a character that is not one of `LETTERS`.
    """
    left = -(len(text) * WIDTH + (len(text) - 1) * _GAP) / 2
    found = []
    for number, letter in enumerate(text):
        start = np.array([left + number * (WIDTH + _GAP), -0.5])
        found += [np.array(s, np.float64) * (WIDTH, 1) + start for s in GLYPHS[letter]]
    return found


def coverage(lines: list[np.ndarray], thickness: float, rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """How much of each pixel some lines cover.

    Args:
      lines: float `[points, 2]` (x, y) each, in pixels, from the patch's corner.
      thickness: in pixels.
      rows: of the patch.
      columns: likewise.
      closed: each line ends where it begins.

    Returns:
      uint8 `[rows, columns]` from 0 to 255.
    """
    samples = 8 if max(columns, rows) <= 128 else 4
    fine = np.zeros((rows * samples, columns * samples), np.uint8)
    # OpenCV puts pixel centres at whole numbers, hence the half sample; and a line of 2n samples becomes 2n + 1 thick.
    points = [np.rint((line * samples - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32) for line in lines]
    cv2.polylines(fine, points, closed, (255,), max(2 * round((thickness * samples - 1) / 2), 1), cv2.LINE_8, _SUBPIXEL_BITS)
    return cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA)
