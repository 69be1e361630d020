"""What comes with the package: drawings in tars, and scenes that do not depend on how many are asked for."""

import io
import itertools
import tarfile

import pytest

from ugf_jax.data.image import decode
from ugf_jax.data.sources import embedded
from ugf_jax.errors import InputError


def read(source):
    return [e for unit in source.units() for e in source.examples(unit)]


@pytest.mark.parametrize("kind", embedded.DRAWN)
def test_scenes_are_a_function_of_their_number(kind):
    few, many = (embedded.drawn(kind, n) for n in ("3", "70"))
    assert [u.count for u in many["train"].units()] == [64, 6]
    first = next(iter(many["train"].units()))
    assert read(few["train"]) == list(itertools.islice(many["train"].examples(first), 3))
    assert {s: source.count for s, source in many.items()} == {"train": 70, "validation": 7, "test": 7}
    assert {s: source.count for s, source in few.items()} == {"train": 3, "validation": 1, "test": 1}
    example = read(few["train"])[0]
    assert decode(example.images[0]).ndim == 3
    assert bool(example.questions or example.turns) == (kind != "crowd")
    assert example.scene
    assert example.key != read(few["test"])[0].key
    assert example.key.startswith(f"{kind}-train-")


@pytest.mark.parametrize("kind", embedded.DRAWN)
def test_the_size_is_part_of_the_source_and_changes_the_picture_only(kind):
    usual, large = (embedded.drawn(kind, request)["test"] for request in ("3", "3@512"))
    (small, *_), (big, *_) = read(usual), read(large)
    assert [max(decode(e.images[0]).shape) for e in (small, big)] == [256, 512]
    assert (small.key, small.turns, small.questions, small.scene) == (big.key, big.turns, big.questions, big.scene)
    assert usual.describe() != large.describe()
    assert usual.describe() == embedded.drawn(kind, "3@256")["test"].describe()


@pytest.mark.parametrize("bad", ["", "0", "-5", "1.5", "many", "1e3", "@64"])
def test_a_number_of_scenes_must_be_one(bad):
    with pytest.raises(InputError, match="want a number of scenes"):
        embedded.drawn("shapes", bad)


@pytest.mark.parametrize("bad", ["5@", "5@8", "5@big", "5@100000", "5@-64"])
def test_a_size_must_be_one(bad):
    with pytest.raises(InputError, match=r"fine:5@.*: want a side of 40 to 4096 pixels"):
        embedded.drawn("fine", bad)


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
