"""Codes stored with records: the same whatever is coded beside them, and never of two tokenizers in one folder."""

import dataclasses
import shutil

import numpy as np
import pyarrow as pa
import pytest

from ugf_jax.cli import app, prepare
from ugf_jax.data.buckets import Bucket, fit
from ugf_jax.data.code_kind import CodeKind, code_kind
from ugf_jax.data.image import decode
from ugf_jax.data.index import open_dataset
from ugf_jax.data.records import Record
from ugf_jax.errors import InputError
from ugf_jax.generation.stored_codes import BATCH, CodeWriter


@pytest.fixture(scope="module")
def writer(run):
    return CodeWriter(run("fsq"))


def call(*argv):
    for flag in prepare.FLAGS:
        prepare.FLAGS[flag].unparse()
    return app.call("prepare", prepare.__doc__, prepare.FLAGS, prepare.main, [str(a) for a in argv])


def alone(writer, data, size):
    """Codes of one image file, coded beside copies of itself."""
    image = fit(decode(data), Bucket(*size, 32), writer.settings)
    return writer.tokenizer.encode(np.stack([image] * BATCH))[0]


def test_codes_do_not_depend_on_what_is_coded_beside_them(writer, noise, make_record):
    square, wide = noise(3, 40, 40), noise(1, 33, 50)
    pair = make_record("pair", wide[0], square[0], captions=("two",), pairs=((1, 0, 1.0),))
    given = [pair, Record("text", captions=("none",)), make_record("one", square[1]), make_record("two", square[2])]
    coded = writer(given)
    assert [dataclasses.replace(r, codes=()) for r in coded] == given
    assert [len(r.codes) for r in coded] == [2, 0, 1, 1]
    assert len({c.bucket for c in coded[0].codes}) == 2
    for record in coded:
        for data, codes in zip(record.images, record.codes, strict=True):
            assert codes.bucket in [(b.height, b.width) for b in writer.buckets]
            wanted = alone(writer, data, codes.bucket)
            np.testing.assert_array_equal(codes.master, wanted.master)
            np.testing.assert_array_equal(codes.auxiliary[0], wanted.auxiliary[0])
            np.testing.assert_array_equal(codes.kept[0], wanted.kept[0])


def test_more_images_than_a_batch_keep_their_order(writer, noise, make_record):
    pictures = noise(BATCH + 2, 32, 32)
    coded = writer([make_record(str(i), picture) for i, picture in enumerate(pictures)])
    for i in (0, BATCH - 1, BATCH, BATCH + 1):
        np.testing.assert_array_equal(coded[i].codes[0].master, alone(writer, coded[i].images[0], (32, 32)).master)


def test_an_image_beyond_every_bucket_is_named(writer, noise, make_record):
    with pytest.raises(InputError) as caught:
        writer([make_record("fine", noise(1, 32, 32)[0]), make_record("long", noise(1, 8, 64)[0])])
    assert str(caught.value).startswith("image 0 of 'long' is 8x64; the tokenizer has buckets up to 1:2: prepare with")
    assert "\n" not in str(caught.value)


def test_prepare_stores_codes_once_and_of_one_tokenizer(run, noise, make_record, tmp_path, capsys):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for i, picture in enumerate(noise(3, 32, 32)):
        (images / f"{i}.png").write_bytes(make_record("", picture).images[0])
    command = (images, out, "--workers=1", f"--tokenize={run('fsq')}", "--drop_pixels")
    assert call(*command) == 0
    dataset = open_dataset(out)
    for row in range(3):
        record = dataset.read(row)
        assert (record.images, record.sizes) == ((), ((32, 32),))
        assert record.codes[0].master.shape == (2, 2)
    sides = [int(n) for b in dataset.manifest["settings"]["transform"]["buckets"] for n in b.split("x")]
    largest = max(sides) // 8  # pixels of an auxiliary patch
    assert code_kind(dataset) == CodeKind(master=64, grid=2, auxiliary=64, groups=2, levels=1, largest=largest)
    assert dataset.lengths(0).images == ((4, 16),)
    with pa.memory_map(str(out / "index.arrow")) as mapped:
        lengths = pa.ipc.open_file(mapped).read_all().column("code_length").to_pylist()
    assert lengths == [2 * 2 + 4 * 4 * 2] * 3
    capsys.readouterr()
    assert call(*command) == 0
    assert "complete, nothing to do" in capsys.readouterr().out
    # The same run one step earlier is another tokenizer; and so are codes with pixels another dataset.
    earlier = shutil.copytree(run("fsq"), tmp_path / "earlier")
    shutil.rmtree(earlier / "checkpoints" / "2")
    assert call(*command[:3], f"--tokenize={earlier}", "--drop_pixels") == 2
    assert "made with settings.transform" in capsys.readouterr().err
    assert call(*command[:4]) == 2
    assert "made with settings.transform" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--drop_pixels"], "--drop_pixels needs --tokenize"),
        (["--tokenize={tmp}/none"], "none: not the work folder of a training run"),
    ],
)
def test_what_cannot_be_coded_is_refused_before_any_work(noise, make_record, tmp_path, capsys, flags, words):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(make_record("", noise(1, 9, 9)[0]).images[0])
    assert call(tmp_path / "images", tmp_path / "out", *(f.format(tmp=tmp_path) for f in flags)) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "out").exists()


def test_scales_of_ones_own_give_other_grids(run, writer, noise, make_record):
    other = CodeWriter(run("fsq"), scales=(48,), max_stretch=0.3)
    assert {max(b.height, b.width) for b in other.buckets} != {max(b.height, b.width) for b in writer.buckets}
    assert other.identity["buckets"] != writer.identity["buckets"]
    assert other.identity["codes"]["largest"] == max(max(b.height, b.width) for b in other.buckets) // 8
    (coded,) = other([make_record("a", noise(1, 48, 48)[0])])
    assert coded.codes[0].bucket == (48, 48)
    assert coded.codes[0].master.shape == (2, 2)


def test_master_codes_alone_are_those_of_the_whole(run, writer, noise, make_record):
    records = [make_record("a", noise(1, 33, 50)[0])]
    other = CodeWriter(run("fsq"), keep=0.0)
    assert other.identity != writer.identity
    (alone,), (whole,) = other(records)[0].codes, writer(records)[0].codes
    np.testing.assert_array_equal(alone.master, whole.master)
    assert not alone.kept[0].any()
    assert whole.kept[0].any()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--keep=0"], "--keep needs --tokenize"),
        (["--tokenize=x", "--keep=2"], "keep"),
        (["--scales=64"], "--scales and --max_stretch need --tokenize"),
        (["--max_stretch=0.1"], "--scales and --max_stretch need --tokenize"),
        (["--tokenize=x", "--scales=a"], "--scales is 'a'; want whole numbers"),
        (["--tokenize=x", "--max_stretch=2"], "max_stretch"),
    ],
)
def test_flags_about_codes_go_together(flags, message, tmp_path, capsys):
    assert call("shapes:2", tmp_path / "out", *flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
