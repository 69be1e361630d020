"""What comes with the package: drawings in tars, and scenes that do not depend on how many are asked for."""

import io
import tarfile

import pytest

from ugf_jax.data.image import decode
from ugf_jax.data.sources import embedded
from ugf_jax.errors import InputError


def read(source):
    return [e for unit in source.units() for e in source.examples(unit)]


def test_shapes_are_a_function_of_their_number():
    few, many = (embedded.shapes(n) for n in ("3", "70"))
    assert [u.count for u in many["train"].units()] == [64, 6]
    assert read(few["train"]) == read(many["train"])[:3]
    assert {s: source.count for s, source in many.items()} == {"train": 70, "validation": 7, "test": 7}
    assert {s: source.count for s, source in few.items()} == {"train": 3, "validation": 1, "test": 1}
    example = read(few["train"])[0]
    assert decode(example.images[0]).ndim == 3
    assert example.captions
    assert example.questions
    assert example.scene
    assert example.key != read(few["test"])[0].key


@pytest.mark.parametrize("bad", ["", "0", "-5", "1.5", "many", "1e3"])
def test_a_number_of_shapes_must_be_one(bad):
    with pytest.raises(InputError, match="want a number of scenes"):
        embedded.shapes(bad)


def test_clipart_is_the_same_wherever_it_lies(tmp_path, monkeypatch):
    described = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        with tarfile.open(tmp_path / place / "train.tar", "w") as tar:
            for name, content in (("cat.webp", b"C"), ("cat.json", b'{"captions": ["a cat"], "title": "Cat"}')):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        monkeypatch.setattr(embedded, "CLIPART", tmp_path / place)
        source = embedded.clipart("train")
        (example,) = read(source)
        assert (example.key, example.captions, example.meta) == ("cat", ("a cat",), {"title": "Cat"})
        described.append(source.describe())
    assert described[0] == described[1]
    with pytest.raises(InputError, match=r"test\.tar: missing"):
        embedded.clipart("test")
