"""Tar shards are streamed: files of one name are one example, links and giants are refused, nothing is extracted."""

import gzip
import io
import json
import tarfile

import pytest

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.sources import base
from ugf_jax.data.sources.webdataset import TarSource
from ugf_jax.errors import InputError


def write(path, files, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
                continue
            content = content if isinstance(content, bytes) else content.encode()
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def read(*paths):
    source = TarSource(paths)
    return [e for unit in source.units() for e in source.examples(unit)]


FILES = [
    ("a/0.png", b"0"),
    ("a/0.txt", " a  caption "),
    ("a/0.json", json.dumps({"caption": "another", "__key__": "a/0", "width": 5})),
    ("a/0.cls", "7\n"),
    ("./b.left.JPG", b"L"),
    ("./b.right.jpg", b"R"),
    ("./b.pyd", b"never read"),
    ("c.json", json.dumps({"text": "text without an image"})),
    ("d.webp", b"D"),
]


@pytest.mark.parametrize(("ending", "mode"), [("tar", "w"), ("tar.gz", "w:gz")])
def test_files_of_one_name_are_one_example(tmp_path, ending, mode):
    found = read(write(tmp_path / f"x.{ending}", FILES, mode))
    assert [e.key for e in found] == ["a/0", "b", "d"]
    assert found[0].captions == ("another", "a caption")
    assert found[0].meta == {"label": 7, "width": 5}
    assert found[1].images == (b"L", b"R")
    assert found[2].images == (b"D",)


def test_one_unit_a_tar_in_order(tmp_path):
    paths = [write(tmp_path / f"{n}.tar", [(f"k{n}.png", b"x")]) for n in range(3)]
    source = TarSource(tuple(paths))
    assert [[e.key for e in source.examples(u)] for u in source.units()] == [["k0"], ["k1"], ["k2"]]


def test_links_and_giants_are_refused_without_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "MAX_FILE_BYTES", 10)
    found = read(
        write(tmp_path / "x.tar", [("link.png", None), ("big.png", bytes(11)), ("fine.png", bytes(10)), ("../up.png", b"u")])
    )
    reasons = [e.images[0].reason if isinstance(e.images[0], ImageRejected) else "" for e in found]
    assert reasons == ["unreadable file", "file too large", "", ""]
    assert not (tmp_path.parent / "up.png").exists()


def test_broken_json_refuses_its_example_only(tmp_path):
    found = read(write(tmp_path / "x.tar", [("a.png", b"A"), ("a.json", "{"), ("b.png", b"B")]))
    assert found[0].refusal.reason == "bad entry"
    assert found[1].refusal is None


def test_an_example_of_endless_members_is_cut(tmp_path):
    found = read(write(tmp_path / "x.tar", [(f"a.{i}.png", b"x") for i in range(400)]))
    assert len(found) == 1
    assert len(found[0].images) == 256


def damages():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for i in range(9):  # each takes 7 blocks of 512 bytes
            info = tarfile.TarInfo(f"{i}.png")
            info.size = 3000
            tar.addfile(info, io.BytesIO(bytes([i]) * 3000))
    whole = buffer.getvalue()
    bad_header = bytearray(whole)
    bad_header[3 * 3584 : 3 * 3584 + 100] = bytes(range(100))
    return {
        "within a file": whole[:12_000],
        "between two files": whole[: 4 * 3584],
        "within a header": whole[: 4 * 3584 + 100],
        "header": bytes(bad_header),
        "no tar": b"no tar at all" * 99,
        "nothing": b"",
        "compressed": gzip.compress(whole)[:-30],
    }


@pytest.mark.parametrize("kind", damages())
def test_a_damaged_tar_is_named_and_never_passes_for_a_shorter_one(tmp_path, kind):
    (tmp_path / "x.tar").write_bytes(damages()[kind])
    with pytest.raises(InputError, match=r"x\.tar: damaged tar"):
        read(tmp_path / "x.tar")
