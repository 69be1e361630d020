"""A prepared dataset is the same bytes however it was made: in one go, by several workers, or killed and continued."""

import dataclasses
import io
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from ugf_jax.data import lengths
from ugf_jax.data import prepare as module
from ugf_jax.data.index import open_dataset
from ugf_jax.data.parts import PrepareSettings
from ugf_jax.data.prepare import prepare
from ugf_jax.data.sources import base
from ugf_jax.data.sources.folder import FolderSource
from ugf_jax.data.text import SHIPPED, TextTokenizer
from ugf_jax.errors import InputError

SETTINGS = PrepareSettings(shards=3)


def png(number, side=12):
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side + number % 5, side, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(root, count, bad_every=20):
    """A folder of images with captions; some are cut short."""
    root.mkdir()
    for i in range(count):
        data = png(i)
        (root / f"{i:04d}.png").write_bytes(data[:-20] if bad_every and i % bad_every == 4 else data)
        (root / f"{i:04d}.txt").write_text(f"picture {i}")
    return FolderSource(root)


def content(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.fixture
def small_units(monkeypatch):
    monkeypatch.setattr(base, "EXAMPLES_PER_UNIT", 7)


def test_every_image_is_in_a_record_or_in_the_quarantine(tmp_path):
    done = prepare(pictures(tmp_path / "in", 40), tmp_path / "out", SETTINGS)
    data = open_dataset(tmp_path / "out")
    data.verify()
    assert [r.key for r in data.records()] == [f"{i:04d}" for i in range(40) if i % 20 != 4]
    assert data.read(5).captions == ("picture 6",)
    assert data.manifest == done.manifest
    assert done.manifest["quarantine"] == {"images": 2, "records": 2, "reasons": {"truncated": 2}}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "index.arrow",
        lengths.file_name(TextTokenizer.load().digest),
        "manifest.json",
        "quarantine.jsonl",
        *(f"shard-0000{i}-of-00003.array_record" for i in range(3)),
    ]


def test_a_finished_dataset_is_left_alone(tmp_path):
    source = pictures(tmp_path / "in", 12)
    prepare(source, tmp_path / "out", SETTINGS)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    again = prepare(source, tmp_path / "out", dataclasses.replace(SETTINGS, quarantine_limit=0.5))
    assert again.was_complete
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == before


def test_another_source_or_setting_is_refused(tmp_path):
    source = pictures(tmp_path / "in", 12)
    prepare(source, tmp_path / "out", SETTINGS)
    with pytest.raises(InputError, match=r"made with settings\.max_side = 0, asked for 8"):
        prepare(source, tmp_path / "out", dataclasses.replace(SETTINGS, max_side=8))
    with pytest.raises(InputError, match=r"made with source\."):
        prepare(pictures(tmp_path / "other", 12), tmp_path / "out", SETTINGS)
    (tmp_path / "in" / "new.png").write_bytes(png(99))
    with pytest.raises(InputError, match=r"made with source\.digest"):
        prepare(source, tmp_path / "out", SETTINGS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"not empty and not a prepared dataset \(holds thesis\.tex\)"):
        prepare(source, tmp_path / "full", SETTINGS)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def test_stopped_at_any_step_and_continued_it_is_the_same(tmp_path, small_units, monkeypatch):
    source = pictures(tmp_path / "in", 30)
    prepare(source, tmp_path / "whole", SETTINGS)
    wanted = content(tmp_path / "whole")
    real = os.replace
    stops = 0
    for stop_at in itertools.count(1):
        calls = itertools.count(1)

        def replace(a, b, before=stop_at % 2, calls=calls, stop_at=stop_at):
            number = next(calls)
            if number == stop_at and before:
                raise Killed
            real(a, b)
            if number == stop_at:
                raise Killed

        out = tmp_path / f"out{stop_at}"
        monkeypatch.setattr(os, "replace", replace)
        try:
            prepare(source, out, SETTINGS)
            break
        except Killed:
            stops += 1
        monkeypatch.setattr(os, "replace", real)
        prepare(source, out, SETTINGS)
        assert content(out) == wanted
    assert stops == 1 + 5 * 2 + 3 * 4 + 4  # request; parts; shards; index, lengths, quarantine, manifest


def test_the_number_of_workers_does_not_show(tmp_path):
    source = pictures(tmp_path / "in", 300)
    for workers in (1, 2):
        prepare(source, tmp_path / f"out{workers}", SETTINGS, workers)
    assert content(tmp_path / "out1") == content(tmp_path / "out2")


def test_limit_takes_the_first_examples(tmp_path, small_units):
    source = pictures(tmp_path / "in", 30, 0)
    prepare(source, tmp_path / "out", PrepareSettings(limit=17))
    assert [r.key for r in open_dataset(tmp_path / "out").records()] == [f"{i:04d}" for i in range(17)]


def test_too_much_damage_ends_the_run_and_a_higher_limit_continues_it(tmp_path, small_units):
    source = pictures(tmp_path / "in", 260, 5)
    with pytest.raises(InputError, match=r"images are damaged, over --quarantine_limit=0\.1, the last .*truncated"):
        prepare(source, tmp_path / "out", PrepareSettings())
    done = prepare(source, tmp_path / "out", PrepareSettings(quarantine_limit=0.3))
    assert (done.manifest["records"], done.manifest["quarantine"]["images"]) == (208, 52)


def test_nothing_usable_is_one_line_that_says_why(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png(0)[:-30])
    source = FolderSource(tmp_path / "in")
    with pytest.raises(InputError, match=r"no usable image \(1 truncated\); the first is a: truncated"):
        prepare(source, tmp_path / "out", SETTINGS)
    assert '"truncated"' in (tmp_path / "out" / "quarantine.jsonl").read_text()
    (tmp_path / "in" / "a.png").write_bytes(png(0))
    prepare(source, tmp_path / "out", SETTINGS)
    assert open_dataset(tmp_path / "out").num_records == 1


@pytest.fixture
def other_tokenizer(tmp_path):
    """A text tokenizer that has one id for every byte."""
    settings = json.loads(SHIPPED.read_text())
    settings["model"]["merges"] = []
    path = tmp_path / "bytes.json"
    path.write_text(json.dumps(settings))
    return str(path)


def test_tokens_are_counted_and_counted_again_for_another_tokenizer(tmp_path, other_tokenizer):
    source = pictures(tmp_path / "in", 30)
    prepare(source, tmp_path / "out", SETTINGS)
    before = content(tmp_path / "out")
    shipped = open_dataset(tmp_path / "out")
    encode = TextTokenizer.load().encode
    assert [shipped.lengths(i).captions for i in range(28)] == [(len(encode(r.captions[0])),) for r in shipped.records()]
    assert not prepare(source, tmp_path / "out", SETTINGS, text_tokenizer=other_tokenizer).was_complete
    assert content(tmp_path / "out").keys() != before.keys()
    data = open_dataset(tmp_path / "out")
    data.verify()
    assert data.manifest["text"]["digest"] == TextTokenizer.load(other_tokenizer).digest
    assert [data.lengths(i).captions for i in range(28)] == [(len(r.captions[0].encode()),) for r in data.records()]
    assert prepare(source, tmp_path / "out", SETTINGS, text_tokenizer=other_tokenizer).was_complete
    prepare(source, tmp_path / "fresh", SETTINGS, text_tokenizer=other_tokenizer)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    prepare(source, tmp_path / "out", SETTINGS)
    assert content(tmp_path / "out") == before


def test_stopped_while_counting_again_and_continued_it_is_the_same(tmp_path, other_tokenizer, monkeypatch):
    source = pictures(tmp_path / "in", 30)
    prepare(source, tmp_path / "wanted", SETTINGS, text_tokenizer=other_tokenizer)
    prepare(source, tmp_path / "out", SETTINGS)
    for stop_at, left in ((0, 1), (1, 2), (2, 2)):  # replaced: lengths, manifest; the old lengths go last
        calls = itertools.count()
        real_replace, real_unlink = os.replace, pathlib.Path.unlink

        def replace(a, b, calls=calls, stop_at=stop_at, real=real_replace):
            if next(calls) == stop_at:
                raise Killed
            real(a, b)

        def unlink(path, missing_ok=False, stop_at=stop_at, real=real_unlink):
            if stop_at == 2 and path.name.startswith("lengths-"):
                raise Killed
            real(path, missing_ok)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replace)
            patched.setattr(pathlib.Path, "unlink", unlink)
            with pytest.raises(Killed):
                prepare(source, tmp_path / "out", SETTINGS, text_tokenizer=other_tokenizer)
        assert len(list((tmp_path / "out").glob("lengths-*.arrow"))) == left
        data = open_dataset(tmp_path / "out")
        data.verify()
        assert len(data.length_table) == 28
    prepare(source, tmp_path / "out", SETTINGS, text_tokenizer=other_tokenizer)
    assert content(tmp_path / "out") == content(tmp_path / "wanted")


def test_a_started_run_keeps_its_tokenizer(tmp_path, other_tokenizer, monkeypatch):
    source = pictures(tmp_path / "in", 30)

    def stop(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write_shards", stop)
        with pytest.raises(Killed):
            prepare(source, tmp_path / "out", SETTINGS)
    with pytest.raises(InputError, match=r"made with text\.digest = .*, asked for"):
        prepare(source, tmp_path / "out", SETTINGS, text_tokenizer=other_tokenizer)


def test_a_conversation_that_does_not_match_its_images_is_refused(tmp_path):
    source = pictures(tmp_path / "in", 3, 0)
    (tmp_path / "in" / "0001.txt").unlink()
    turns = [{"from": "human", "value": "<|image|> and <|image|>?"}, {"from": "gpt", "value": "yes"}]
    (tmp_path / "in" / "0001.json").write_text(json.dumps({"conversations": turns}))
    source = FolderSource(tmp_path / "in")
    done = prepare(source, tmp_path / "out", SETTINGS)
    assert done.manifest["quarantine"] == {"images": 1, "records": 1, "reasons": {"bad entry": 1}}
    assert "2 <|image|> in its turns for 1 images" in (tmp_path / "out" / "quarantine.jsonl").read_text()


def test_two_at_once_are_refused(tmp_path):
    source = pictures(tmp_path / "in", 5)

    def transform(records):
        with pytest.raises(InputError, match="another process is preparing into it"):
            prepare(source, tmp_path / "out", SETTINGS, transform=list, transform_identity="x")
        return records

    prepare(source, tmp_path / "out", SETTINGS, transform=transform, transform_identity="x")


def test_a_transform_is_part_of_what_was_asked_for(tmp_path):
    source = pictures(tmp_path / "in", 5)

    def shout(records):
        return [dataclasses.replace(r, captions=tuple(c.upper() for c in r.captions)) for r in records]

    done = prepare(source, tmp_path / "out", SETTINGS, transform=shout, transform_identity={"checkpoint": "abc"})
    assert done.manifest["settings"]["transform"] == {"checkpoint": "abc"}
    assert open_dataset(tmp_path / "out").read(0).captions == ("PICTURE 0",)
    with pytest.raises(InputError, match=r"settings\.transform"):
        prepare(source, tmp_path / "out", SETTINGS)


def kill_again_and_again(tmp_path, count, kills, workers, seed):
    """Kills real runs of the command at random moments, until one of them finishes."""
    source = pictures(tmp_path / "in", count)
    prepare(source, tmp_path / "whole", SETTINGS)
    command = [
        sys.executable,
        "-m",
        "ugf_jax.cli.prepare",
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        "--shards=3",
        f"--workers={workers}",
    ]
    moments = random.Random(seed)
    work = tmp_path / "out" / module.WORK_NAME
    for _ in range(kills):
        have = len(list(work.glob("*"))) if work.is_dir() else 0
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not work.is_dir() or len(list(work.glob("*"))) <= have):
            time.sleep(0.01)  # killed while it was still being imported, it would have proved nothing
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = content(tmp_path / "out")
    found.pop("results.json", None)
    assert found == content(tmp_path / "whole")


def test_killed_for_real_and_continued_it_is_the_same(tmp_path):
    kill_again_and_again(tmp_path, 500, kills=2, workers=1, seed=0)


@pytest.mark.slow
def test_killed_many_times_with_workers_and_continued_it_is_the_same(tmp_path):
    kill_again_and_again(tmp_path, 6000, kills=12, workers=2, seed=1)


def test_nothing_of_the_work_remains(tmp_path):
    prepare(pictures(tmp_path / "in", 5), tmp_path / "out", SETTINGS)
    assert not [p for p in pathlib.Path(tmp_path / "out").iterdir() if p.name.startswith(".")]
