"""Files are read within bounds, and the first examples are the first examples."""

import os

import pytest

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.sources import base
from ugf_jax.errors import InputError


class Letters(base.Source):
    """Units of three letters, whose number only reading tells where `known` is false."""

    def __init__(self, known):
        self.known = known

    def describe(self):
        return {}

    def units(self):
        return [base.Unit(text, len(text) if self.known else None) for text in ("abc", "def", "ghi")]

    def examples(self, unit):
        return (base.Example(letter, captions=(letter,)) for letter in unit.content)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 4, 9, 20])
def test_first_units_hold_exactly_the_first_examples(known, limit):
    source = Letters(known)
    chosen = base.first_units(source, source.units(), limit)
    assert "".join(unit.content[:count] for unit, count in chosen) == "abcdefghi"[:limit]


def test_no_limit_takes_every_unit_without_reading_it():
    source = Letters(False)
    assert base.first_units(source, source.units(), 0) == [(unit, None) for unit in source.units()]


def reason(found):
    assert isinstance(found, ImageRejected)
    return found.reason


def test_names_in_a_manifest_stay_inside_the_root(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.png").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    os.symlink(tmp_path / "secret", root / "link.png")
    assert base.read_image_inside(root, "sub/a.png") == b"inside"
    assert base.read_image_inside(root, "sub/../sub/a.png") == b"inside"
    for name in ("../secret", str(tmp_path / "secret"), "sub/../../secret", "link.png"):
        assert reason(base.read_image_inside(root, name)) == "outside the root"
    assert reason(base.read_image_inside(root, "none.png")) == "missing file"
    assert reason(base.read_image_inside(root, "sub/a.png/x")) == "missing file"
    assert reason(base.read_image_inside(root, "sub")) == "unreadable file"
    assert reason(base.read_image_inside(root, "a\0b")) == "unreadable file"


def test_files_over_the_cap_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "MAX_FILE_BYTES", 10)
    (tmp_path / "a.png").write_bytes(bytes(11))
    assert reason(base.read_image(tmp_path / "a.png")) == "file too large"


def test_text_must_be_text(tmp_path):
    (tmp_path / "t").write_bytes(b"\xff\xfe\0")
    with pytest.raises(InputError, match="cannot be read as text"):
        base.read_text(tmp_path / "t")


def test_identity_follows_the_file(tmp_path):
    path = tmp_path / "x"
    path.write_text("1")
    before = base.file_identity(path)
    assert base.file_identity(path) == before
    path.write_text("12")
    assert base.file_identity(path) != before
    path.unlink()
    assert base.file_identity(path)[1] == -1
