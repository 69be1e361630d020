import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from ugf_jax.errors import InputError
from ugf_jax.training.metric_log import MetricLog


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def train(workdir, start, stop):
    """A run whose metrics depend on the step alone, as those of a deterministic run do."""
    log = MetricLog(workdir, 100, clock=Clock())
    log.resume(start)
    for step in range(start + 1, stop + 1):
        log.write(step, "train", {"loss": 1 / step, "psnr/full": 20 + step})
        if step % 3 == 0:
            log.write(step, "validation", {"psnr/full": 19 + step})
    log.close()


def test_a_resumed_run_has_the_lines_of_an_uninterrupted_one(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    train(tmp_path / "whole", 0, 12)
    train(tmp_path / "killed", 0, 4)  # killed before its first checkpoint
    train(tmp_path / "killed", 0, 9)
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10, "ti')  # killed while writing
    train(tmp_path / "killed", 6, 11)
    train(tmp_path / "killed", 10, 12)
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")


def test_lines_of_other_kinds_stay(tmp_path):
    log = MetricLog(tmp_path, 100, clock=Clock())
    log.write(5, "restart", {"cause": 1})
    log.write(5, "train", {"loss": 1})
    log.resume(2)
    assert lines(tmp_path) == [{"step": 5, "time": 1000.0, "kind": "restart", "cause": 1.0}]


def test_values_that_are_not_finite_are_null(tmp_path):
    log = MetricLog(tmp_path, 100, clock=Clock())
    log.write(1, "train", {"loss": math.nan, "norm": np.float32(0.1)})
    assert lines(tmp_path) == [{"step": 1, "time": 1000.0, "kind": "train", "loss": None, "norm": 0.1}]


def test_console_line(tmp_path, capsys):
    clock = Clock()
    log = MetricLog(tmp_path, 2000, clock=clock)
    log.resume(100)
    values = {
        "loss": 0.12341,
        "psnr/full": 20.123,
        "learning_rate": 1e-3,
        "images_per_second": 28.41,
        "gflops_per_second": 35.24,
        "mfu": 0.412,
        "goodput": 0.931,
        "memory_gb": 1.24,
        "seconds_per_step": 1.0,
    }
    log.write(110, "train", values)
    clock.now += 50
    log.write(120, "train", values | {"gflops_per_second": 35240.0})
    log.write(120, "validation", {"psnr/full": 19.5, "ssim": 0.71234})
    log.write(2000, "train", {"loss": math.nan})
    log.close()
    shown = capsys.readouterr().err.splitlines()
    common = "loss 0.1234 · psnr/full 20.1 · 28.4 images/s"
    assert shown == [
        f"step 110/2000 · {common} · 35.2 GFLOP/s (MFU 41 %) · goodput 93 % · 1.2 GB · 31m30s left",
        f"step 120/2000 · {common} · 35.2 TFLOP/s (MFU 41 %) · goodput 93 % · 1.2 GB · 2h36m left",
        "validation at step 120: psnr/full 19.5 · ssim 0.7123",
        "step 2000/2000 · loss nan",
    ]


def test_a_terminal_gets_a_bar_and_notes_above_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    log = MetricLog(tmp_path, 10, clock=Clock())
    log.note("a note [with brackets]")
    log.write(4, "train", {"loss": 0.5})
    log.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "a note [with brackets]" in shown
    assert "step 4/10 · loss 0.5" in shown
    assert "━" in shown


def test_processes_other_than_the_first_write_nothing(tmp_path, capsys):
    log = MetricLog(tmp_path, 10, tensorboard=True, quiet=True)
    log.resume(0)
    log.write(1, "train", {"loss": 1})
    log.images(1, "grid", np.zeros((2, 2, 3), np.uint8))
    log.note("hello")
    log.close()
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_pictures_are_kept_exactly(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    log = MetricLog(tmp_path, 10)
    log.images(3, "validation/grid", pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "samples" / "validation-grid-00000003.png")), pixels)


def test_a_picture_that_cannot_be_written_is_mentioned(tmp_path, capsys):
    (tmp_path / "samples").write_text("in the way")
    MetricLog(tmp_path, 10).images(3, "grid", np.zeros((2, 2, 3), np.uint8))
    assert re.search(r"warning: .*grid-00000003.png: not written \(.+\)", capsys.readouterr().err)


def test_metrics_that_cannot_be_written_stop_the_run(tmp_path):
    with pytest.raises(InputError, match=r"metrics\.jsonl: cannot write"):
        MetricLog(tmp_path / "nowhere", 10).write(1, "train", {"loss": 1})
