"""Many images with their captions on one page."""

import functools
import importlib.util
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 240  # pixels, side of the square that a picture is fitted into
GAP = 16
LINES = 4  # of caption
FONT_SIZE = 14
LINE_HEIGHT = 18
PAPER, MOUNT, INK, FAINT = "#ffffff", "#ececec", "#111111", "#666666"


def contact_sheet(
    images: Sequence[np.ndarray], captions: Sequence[str], notes: Sequence[str] = (), columns: int = 6
) -> Image.Image:
    """Draws images in a grid, each whole and in its own proportions, with a note and the caption below it.

    Args:
      images: uint8 `[H, W, 3]` each, any sizes.
      captions: one for each image; cut with an ellipsis after four lines.
      notes: short text for each image, above its caption.
      columns: images side by side.
    """
    columns = max(min(columns, len(images)), 1)
    rows = max(-(-len(images) // columns), 1)
    below = (LINES + bool(notes)) * LINE_HEIGHT + GAP // 2
    sheet = Image.new("RGB", (columns * (CELL + GAP) + GAP, rows * (CELL + below + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = GAP + number % columns * (CELL + GAP)
        top = GAP + number // columns * (CELL + below + GAP)
        draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), fill=MOUNT)
        picture = _fitted(image)
        sheet.paste(picture, (left + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2))
        top += CELL + GAP // 2
        if notes:
            draw.text((left, top), wrap(notes[number], 1)[0], fill=FAINT, font=font())
            top += LINE_HEIGHT
        for line in wrap(caption, LINES):
            draw.text((left, top), line, fill=INK, font=font())
            top += LINE_HEIGHT
    return sheet


def wrap(text: str, lines: int) -> list[str]:
    """Breaks text into at most `lines` lines (at least one) that fit a cell; an ellipsis shows that some is missing."""
    made = [""]
    words = text.split()
    while words:
        word = words.pop(0)
        longer = f"{made[-1]} {word}".strip()
        if _fits(longer):
            made[-1] = longer
        elif not made[-1]:  # one word wider than the cell
            end = next(n for n in range(len(word), 0, -1) if _fits(word[:n]) or n == 1)
            made[-1], rest = word[:end], word[end:]
            words = [rest, *words] if rest else words
            made.append("")
        else:
            made.append("")
            words = [word, *words]
        if len(made) > lines:
            break
    made = [line for line in made if line] or [""]
    if len(made) > lines or words:
        made = made[:lines]
        while made[-1] and not _fits(made[-1] + " …"):
            made[-1] = made[-1][:-1].rstrip()
        made[-1] += " …"
    return made


def _fits(line: str) -> bool:
    return font().getlength(line) <= CELL


@functools.cache
def font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic and many symbols."""
    found = importlib.util.find_spec("matplotlib")  # importing it would take a second
    assert found
    assert found.origin
    return ImageFont.truetype(pathlib.Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", FONT_SIZE)


def _fitted(image: np.ndarray) -> Image.Image:
    """The image shrunk to the cell; small ones are enlarged by whole factors, so that their pixels show."""
    height, width = image.shape[:2]
    scale = CELL / max(height, width)
    if scale >= 1:
        factor = int(scale)
        return Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.NEAREST)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
