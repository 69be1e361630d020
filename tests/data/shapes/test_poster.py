import sys

import cv2
import numpy as np
import pytest

from ugf_jax.data.shapes import poster
from ugf_jax.data.shapes.graph import BACKGROUNDS
from ugf_jax.errors import InputError


def test_the_sheet_shows_each_picture_and_words_below(tmp_path, monkeypatch):
    target = tmp_path / "sheet.png"
    monkeypatch.setattr(sys, "argv", ["poster", str(target)])
    poster.main()
    sheet = cv2.imread(str(target))[..., ::-1]
    for background in ("navy", "grey", "beige"):
        assert (sheet == BACKGROUNDS[background]).all(-1).mean() > 0.02
    assert np.mean(sheet.max(-1) < 60) > 0.002  # dark text
    assert target.stat().st_size < 150_000


def test_a_file_must_be_named(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["poster"])
    with pytest.raises(InputError, match="name the PNG file"):
        poster.main()
