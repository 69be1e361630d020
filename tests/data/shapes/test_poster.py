import sys

import cv2
import numpy as np
import pytest

from ugf_jax.data.shapes import poster
from ugf_jax.data.shapes.graph import BACKGROUNDS
from ugf_jax.errors import InputError


@pytest.mark.parametrize("names", [[], ["fine"], ["edits"]], ids=["shapes", "fine", "edits"])
def test_the_sheet_shows_each_picture_and_words_below(tmp_path, monkeypatch, names):
    target = tmp_path / "sheet.png"
    monkeypatch.setattr(sys, "argv", ["poster", str(target), *names])
    poster.main()
    sheet = cv2.imread(str(target))[..., ::-1]
    for background in ("grey", "beige", "black" if names == ["fine"] else "navy"):
        assert (sheet == BACKGROUNDS[background]).all(-1).mean() > 0.02
    assert np.mean(sheet.max(-1) < 60) > 0.001  # dark text
    assert target.stat().st_size < 200_000


@pytest.mark.parametrize("arguments", [[], ["sheet.png", "none"]])
def test_a_file_and_a_sheet_that_exists_must_be_named(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["poster", *arguments])
    with pytest.raises(InputError, match="name the PNG file"):
        poster.main()
