"""The builder, on a small folder of drawings made here: what goes in, what is refused, and the same bytes each time."""

import json
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from ugf_jax.data.clipart import build, select
from ugf_jax.data.image import decode

SVG = """<svg xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><cc:Work><dc:title>{title}</dc:title><dc:subject><rdf:Bag><rdf:li>toy</rdf:li>
</rdf:Bag></dc:subject><cc:license rdf:resource="http://web.resource.org/cc/{license}"/></cc:Work>{body}</svg>"""


def add(root, name, image, title="", license="PublicDomain", body=""):
    for folder in ("png", "svg"):
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(root / "png" / f"{name}.png")
    (root / "svg" / f"{name}.svg").write_text(SVG.format(title=title, license=license, body=body))


def draw(seed, size=(260, 200)):
    """Rectangles, transparent where nothing is drawn, in the middle of a larger page."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    for _ in range(5):
        top, left = rng.integers(0, size[1] - 60), rng.integers(0, size[0] - 60)
        pixels[top : top + 60, left : left + 60] = [*rng.integers(0, 200, 3), 255]
    page = Image.new("RGBA", (size[0] * 2, size[1] * 3), (7, 7, 7, 0))
    page.paste(Image.fromarray(pixels), (30, 40))
    return page


WORDS = ("apple", "boat", "chair", "drum", "eagle", "fork", "globe", "house", "iris", "jug", "kite", "lamp")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    for i, word in enumerate(WORDS):
        add(root, f"recreation/toys/{word}_0{i}", draw(i), title=word.title())
    add(root, "tools/copy_of_apple", draw(0), title="Other")
    add(root, "tools/weapons/sword", draw(50))
    add(root, "tools/licensed", draw(51), license="GPL")
    add(root, "tools/linked", draw(52), body='<image xmlns:x="y" x:href="a.png"/>')
    add(root, "tools/blank", Image.new("RGBA", (300, 300), (255, 255, 255, 0)))
    add(root, "tools/tiny", Image.new("RGB", (8, 8)))
    add(root, "tools/broken", draw(53))
    (root / "png/tools/broken.png").write_bytes((root / "png/tools/broken.png").read_bytes()[:200])
    add(root, "tools/bare", draw(54))
    (root / "svg/tools/bare.svg").unlink()
    add(root, "tools/link", draw(55))
    (root / "png/tools/link.png").unlink()
    (root / "png/tools/link.png").symlink_to("nowhere.png")
    return root


@pytest.fixture(scope="module")
def built(library, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, build.build(library / "png", library / "svg", out)


def read(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def test_each_refusal_is_counted(built):
    assert built[1]["acceptable"] == len(WORDS) + 1
    assert built[1]["refused"] == {
        "blank": 1,
        "excluded by hand": 1,
        "no metadata": 1,
        "not marked public domain": 1,
        "refers to an image that is missing": 1,
        "tiny": 1,
        "truncated": 1,
        "unreadable": 1,
    }


def test_samples_are_trimmed_drawings_with_captions(built, library):
    files = {name: data for split in select.SPLITS for name, data in read(built[0] / f"{split}.tar").items()}
    keys = {name.rpartition(".")[0] for name in files}
    assert len(files) == 2 * len(keys)
    assert len(keys) == len(WORDS)  # the copy is left out
    assert sum(built[1][split]["images"] for split in select.SPLITS) == len(keys)
    for key in keys:
        fields = json.loads(files[f"{key}.json"])
        image = decode(files[f"{key}.webp"])
        word = fields["title"].lower()
        assert all(word in caption for caption in fields["captions"])
        assert fields["license"] == "public domain"
        assert fields["folder"] == fields["source"].rpartition("/")[0]
        assert key == select.make_keys([fields["source"]])[0]
        page = Image.open(library / "png" / fields["source"])
        assert image.shape[0] < page.height / 2  # the page is gone, the drawing keeps its size
        assert image.shape[1] < page.width / 1.5
        assert image[0, 0].tolist() == [255, 255, 255]  # not the colour hidden under alpha 0


def test_two_builds_have_the_same_bytes_whatever_the_threads(built, library, tmp_path):
    assert build.main([f"--png={library}/png", f"--svg={library}/svg", "--threads=3", str(tmp_path)]) == 0
    for split in select.SPLITS:
        assert (tmp_path / f"{split}.tar").read_bytes() == (built[0] / f"{split}.tar").read_bytes()


def test_tars_hold_nothing_that_varies(built):
    with tarfile.open(built[0] / "train.tar") as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    assert [m.name for m in members] == sorted(m.name for m in members)


def test_the_full_set_takes_every_acceptable_drawing(library, tmp_path):
    figures = build.build(library / "png", library / "svg", tmp_path, full=True)
    names = [n for split in select.SPLITS for n in read(tmp_path / f"{split}.tar")]
    assert len(names) == 2 * figures["acceptable"]
    assert "tools-copy_of_apple.webp" in names


def test_wrong_requests_are_one_line(library, tmp_path, capsys):
    for argv in (
        [f"--png={tmp_path}/none", f"--svg={library}/svg", str(tmp_path)],
        [f"--png={library}/png", f"--svg={library}/none", str(tmp_path)],
        [f"--png={library}/png", f"--svg={library}/svg", f"{library}/png/tools/tiny.png"],
        [],
        ["a", "b"],
        ["--unknown", "a"],
        ["--threads=0", "a"],
    ):
        assert build.main(argv) == 2
        error = capsys.readouterr().err
        assert error.startswith("clipart build: ")
        assert error.count("\n") == 1


def test_a_missing_package_names_the_extra(library, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert build.main([f"--png={library}/png", f"--svg={library}/svg", str(tmp_path)]) == 2
    assert "ugf-jax[clipart]" in capsys.readouterr().err


def test_members_larger_than_a_block_survive(tmp_path):
    content = bytes(range(256)) * 5
    build.write_tar(tmp_path / "x.tar", [("a.bin", content), ("b.bin", b"")])
    assert read(tmp_path / "x.tar") == {"a.bin": content, "b.bin": b""}
