"""Every image below a folder is found once, in a fixed order, with whatever text lies beside it."""

import json
import os

import pytest

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.sources import base
from ugf_jax.data.sources.folder import FolderSource
from ugf_jax.errors import InputError


def fill(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(root):
    source = FolderSource(root)
    return {e.key: e for unit in source.units() for e in source.examples(unit)}


def test_images_are_found_with_texts_beside_them(tmp_path):
    fill(
        tmp_path,
        {
            "b.PNG": b"B",
            "a/z.jpg": b"Z",
            "a/z.txt": "a  caption\nof two lines ",
            "c.d.webp": b"C",
            "c.d.json": json.dumps({"captions": ["x", "y"], "artist": "me"}),
            "notes.md": "not an image",
            ".hidden/h.png": b"H",
            ".h.png": b"H",
        },
    )
    found = read(tmp_path)
    assert list(found) == ["a/z", "b", "c.d"]
    assert found["a/z"].captions == ("a caption of two lines",)
    assert found["a/z"].images == (b"Z",)
    assert found["c.d"].captions == ("x", "y")
    assert found["c.d"].meta == {"artist": "me"}
    assert found["b"].captions == ()


def test_names_that_differ_only_in_their_ending_stay_apart(tmp_path):
    fill(tmp_path, {"a.png": b"1", "a.jpg": b"2", "b.png": b"3"})
    assert {k: e.images[0] for k, e in read(tmp_path).items()} == {"a.jpg": b"2", "a.png": b"1", "b": b"3"}


@pytest.mark.parametrize("name", ["metadata.jsonl", "captions.jsonl", "metadata.csv"])
def test_metadata_files(tmp_path, name):
    lines = [("x.png", "first"), ("in/y.png", "of y"), ("x.png", "second")]
    if name.endswith(".csv"):
        text = "file_name,text\n" + "".join(f'{f},"{c}"\n' for f, c in lines)
    else:
        text = "\n".join(json.dumps({"file_name": f, "text": c}) for f, c in lines) + "\n\n"
    fill(tmp_path, {"sub/x.png": b"X", "sub/in/y.png": b"Y", "z.png": b"Z", f"sub/{name}": text})
    found = read(tmp_path)
    assert found["sub/x"].captions == ("first", "second")
    assert found["sub/in/y"].captions == ("of y",)
    assert found["z"].captions == ()
    assert found["sub/x"].meta == {}


def test_metadata_may_not_lead_outside_and_what_it_misses_is_said(tmp_path):
    root = tmp_path / "root"
    fill(tmp_path, {"secret.png": b"S"})
    names = ["../secret.png", str(tmp_path / "secret.png"), "gone.png", "x.png"]
    fill(root, {"x.png": b"X", "metadata.jsonl": "\n".join(json.dumps({"file_name": n, "text": "t"}) for n in names)})
    images = [e.images[0] for e in read(root).values()]
    assert images[0] == b"X"
    assert sorted(i.reason for i in images[1:]) == ["missing file", "outside the root", "outside the root"]


def test_links_to_files_are_followed_and_broken_ones_are_said(tmp_path):
    fill(tmp_path, {"a.png": b"A"})
    os.symlink("a.png", tmp_path / "b.png")
    os.symlink("nowhere.png", tmp_path / "c.png")
    found = read(tmp_path)
    assert found["b"].images == (b"A",)
    assert found["c"].images[0].reason == "missing file"


def test_a_broken_text_refuses_its_image_only(tmp_path):
    fill(tmp_path, {"a.png": b"A", "a.json": "{", "b.png": b"B", "b.txt": b"\xff\xfe caption"})
    found = read(tmp_path)
    assert isinstance(found["a"].refusal, ImageRejected)
    assert found["b"].refusal is None


@pytest.mark.parametrize(
    ("line", "words"),
    [("{", "line 2: not JSON"), ("[1]", "line 2: want an object"), ('{"text": "x"}', "line 2: names no image")],
)
def test_a_broken_metadata_file_is_named_with_its_line(tmp_path, line, words):
    fill(tmp_path, {"a.png": b"A", "metadata.jsonl": '{"file_name": "a.png"}\n' + line})
    with pytest.raises(InputError, match=words):
        FolderSource(tmp_path).units()


def test_empty_folder(tmp_path):
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(InputError, match="no images"):
        FolderSource(tmp_path).units()


def test_units_divide_the_listing_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "EXAMPLES_PER_UNIT", 3)
    fill(tmp_path, {f"{i:02d}.png": bytes([i]) for i in range(8)})
    source = FolderSource(tmp_path)
    units = source.units()
    assert [u.count for u in units] == [3, 3, 2]
    assert [e.images[0][0] for u in units for e in source.examples(u)] == list(range(8))


def test_description_changes_with_the_folder(tmp_path):
    fill(tmp_path, {"a.png": b"A", "a.txt": "one"})
    source = FolderSource(tmp_path)
    before = source.describe()
    assert source.describe() == before
    fill(tmp_path, {"a.txt": "other"})
    assert source.describe() != before
