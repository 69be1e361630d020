"""Preparing with Apache Beam. What runs a pipeline needs the extra `beam`, whose dependencies are not those of the lock."""

import sys

import numpy as np
import pytest
from PIL import Image

from ugf_jax.cli import app, prepare
from ugf_jax.data import beam_prepare
from ugf_jax.errors import InputError


def run(*argv):
    prepare.FLAGS.unparse_flags()
    return app.call("prepare", prepare.__doc__, prepare.FLAGS, prepare.main, argv)


def test_without_beam_it_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    assert run("clipart", str(tmp_path / "out"), "--beam=--runner=DirectRunner") == 2
    assert "--beam: Apache Beam is not installed; want pip install 'ugf-jax[beam]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_codes_are_not_made_by_beam(tmp_path, capsys):
    assert run("clipart", str(tmp_path / "out"), "--tokenize=nowhere", "--beam=") == 2
    assert "--beam and --tokenize do not go together" in capsys.readouterr().err


class Work:
    """Writes a number, or refuses it."""

    def __init__(self, folder):
        self.work_folder = folder

    def __call__(self, task):
        if task < 0:
            raise InputError(f"{task} is negative")
        (self.work_folder / str(task)).touch()


def test_wrong_input_is_written_down_where_it_is_looked_for(tmp_path):
    for numbered in enumerate((5, -1, 6)):
        beam_prepare._attempt(numbered, Work(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"5", "6", "refused-00000001.txt"}
    assert (tmp_path / "refused-00000001.txt").read_text() == "-1 is negative"


@pytest.mark.slow
def test_a_pipeline_writes_the_same_bytes(tmp_path, capsys):
    pytest.importorskip("apache_beam", reason="needs pip install 'ugf-jax[beam]'")
    rng, source = np.random.default_rng(0), tmp_path / "pictures"
    source.mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), np.uint8)).save(source / f"{i}.png")
    (source / "bad.png").write_text("no picture")
    argv = (str(source), "--shards=3", "--quarantine_limit=1")
    direct = "--beam=--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_threading"
    assert run(*argv, str(tmp_path / "here"), "--workers=1") == 0
    assert run(*argv, str(tmp_path / "beam"), direct) == 0
    here, beam = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.name != "results.json"}
        for name in ("here", "beam")
    )
    assert beam == here
    assert len(here) == 7

    for i in range(100):
        (source / f"broken-{i:03d}.png").write_text("no picture")
    capsys.readouterr()
    assert run(str(source), str(tmp_path / "refused"), direct) == 2
    assert "100 damaged images in a row" in capsys.readouterr().err
    assert run(str(source), str(tmp_path / "option"), "--beam=--runner=DirectRunner --no_such=1") == 2
    assert "--beam: Apache Beam has no option --no_such=1" in capsys.readouterr().err
