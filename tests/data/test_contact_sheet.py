import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ugf_jax.data.contact_sheet import CELL, GAP, contact_sheet, font, wrap

RED = np.array([255, 0, 0], np.uint8)


def colour_box(sheet, colour):
    """Bounding box `(height, width)` of a colour and the number of its pixels."""
    rows, columns = np.nonzero((np.asarray(sheet) == colour).all(axis=-1))
    return np.ptp(rows) + 1, np.ptp(columns) + 1, len(rows)


@pytest.mark.parametrize("size", [(100, 100), (1000, 250), (60, 500), (20, 30), (3, 1)])
def test_an_image_is_shown_whole_in_its_proportions(size):
    sheet = contact_sheet([np.broadcast_to(RED, (*size, 3)).copy()], ["caption"])
    height, width, pixels = colour_box(sheet, RED)
    assert pixels == height * width
    assert CELL / 2 < max(height, width) <= CELL
    assert abs(height / width - size[0] / size[1]) <= 0.02 * size[0] / size[1] + 1 / min(height, width)


def test_each_image_has_its_cell_and_its_caption():
    colours = [np.array([10 * i + 5, 200, 255 - 10 * i], np.uint8) for i in range(8)]
    images = [np.broadcast_to(c, (50, 70, 3)).copy() for c in colours]
    plain = contact_sheet(images, [""] * 8, columns=3)
    assert plain.width == 3 * (CELL + GAP) + GAP
    assert all(colour_box(plain, c)[2] for c in colours)
    written = np.asarray(contact_sheet(images, ["", "", "", "", "words"] + [""] * 3, columns=3))
    rows, columns = np.nonzero((written != np.asarray(plain)).any(axis=-1))
    left, top = GAP + (CELL + GAP), plain.height // 3
    assert len(rows) > 50
    assert left <= columns.min() <= columns.max() < left + CELL
    assert top < rows.min() <= rows.max() < 2 * top + GAP


@settings(deadline=None, derandomize=True)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=200), lines=st.integers(1, 4))
def test_wrapping_fits_and_loses_nothing_without_saying_so(text, lines):
    made = wrap(text, lines)
    assert 1 <= len(made) <= lines
    assert all(font().getlength(line) <= CELL for line in made)
    joined = "".join("".join(made).split())
    whole = "".join(text.split())
    assert joined == whole or (joined.endswith("…") and whole.startswith(joined[:-1]))


def test_long_captions_end_in_an_ellipsis():
    assert wrap("word " * 100, 4)[-1].endswith(" …")
    assert wrap("short", 4) == ["short"]
    assert isinstance(contact_sheet([], []), Image.Image)
