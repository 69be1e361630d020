"""What the meter makes of step metrics, with a clock of its own and a log that only remembers."""

import json
import types

import numpy as np
import pytest

from ugf_jax.data.buckets import Bucket
from ugf_jax.data.loader import Batch
from ugf_jax.errors import InputError
from ugf_jax.training import meter
from ugf_jax.training.settings import TrainSettings

BUCKET = Bucket(64, 64, 64)
ROWS = 8


class Clock:
    """A fake `time.monotonic`."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Log:
    """A `MetricLog` that keeps what it is told."""

    def __init__(self):
        self.lines, self.notes = [], []

    def write(self, step, kind, values):
        self.lines.append({"step": step, "kind": kind, **values})

    def note(self, text):
        self.notes.append(text)


class Goodput:
    def __init__(self):
        self.marks, self.stops = [], []

    def goodput(self):
        return 0.5

    def mark(self, step):
        self.marks.append(step)

    def stop(self, cause, step):
        self.stops.append((cause, step))


def summarize(metrics):
    warnings = {f"topic {n}": f"warned of {n}" for n in metrics.get("warn", np.zeros(1)).astype(int) if n}
    return {k: np.asarray(v).tolist() for k, v in metrics.items()}, warnings


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(meter, "time", clock)
    return clock


@pytest.fixture
def make(clock, tmp_path):
    def make(peak=None, advance=None, **settings):
        made = meter.Meter(
            TrainSettings(**{"steps": 100, "log_every": 2, **settings}),
            types.SimpleNamespace(summarize=summarize, stop=None, updates=1, advance=advance),
            lambda arrays: {"images": len(arrays["image"])},
            Log(),
            Goodput(),
            lambda step: 0.1 * step,
            {BUCKET: 3e9},
            tmp_path,
        )
        made.peak = peak
        return made

    return make


def push(meter, step, **metrics):
    batch = Batch(BUCKET, {"image": np.zeros((ROWS, 1, 1, 3), np.uint8), "row": np.arange(ROWS) + 100 * step}, 0)
    meter.begin()
    meter.push(step, batch, {"bad_steps": np.int32(0), **metrics})


def test_metrics_are_read_one_step_late_and_all_of_them_on_a_flush(make):
    m = make(log_every=1)
    push(m, 1)
    assert m.log.lines == []
    push(m, 2)
    assert [line["step"] for line in m.log.lines] == [1]
    m.flush()
    m.flush()
    assert [line["step"] for line in m.log.lines] == [1, 2]


def test_counts_are_summed_and_others_averaged_over_a_window(make):
    m = make(log_every=3)
    for step in range(1, 7):
        push(m, step, **{"loss": np.float32(step), "counts/codes": np.array([1.0, step])})
    m.flush()
    first, second = m.log.lines
    assert (first["step"], first["loss"], first["counts/codes"]) == (3, 2.0, [3, 1 + 2 + 3])
    assert (second["step"], second["loss"], second["counts/codes"]) == (6, 5.0, [3, 4 + 5 + 6])
    assert m.latest["loss"] == 5.0
    assert m.clock.marks == [3, 6]


def test_the_last_step_reports_a_window_that_is_not_full(make):
    m = make(steps=5, log_every=4)
    for step in range(1, 6):
        push(m, step, loss=np.float32(step))
    m.flush()
    assert [(line["step"], line["loss"]) for line in m.log.lines] == [(4, 2.5), (5, 5.0)]


def test_the_learning_rate_is_that_of_the_update_before_the_line(make):
    m = make()
    for step in (1, 2):
        push(m, step)
    m.flush()
    assert m.latest["learning_rate"] == pytest.approx(0.1)  # update 2 was made with schedule(1)


def test_rates_leave_out_evaluation_and_nothing_else(make, clock):
    m = make(peak=6e9, log_every=4)
    for step in range(1, 5):
        push(m, step)
        clock.now += 1.0
        if step == 2:
            m.flush()
            clock.now += 500.0  # evaluation and saving
    m.flush()
    line = m.log.lines[0]
    assert line["seconds_per_step"] == pytest.approx(1.0)
    assert line["images_per_second"] == pytest.approx(ROWS)
    assert line["gflops_per_second"] == pytest.approx(3.0)
    assert line["mfu"] == pytest.approx(0.5 / meter.jax.device_count())
    clock.now += 500.0
    for step in range(5, 9):
        push(m, step)
        clock.now += 2.0
    m.flush()
    assert m.log.lines[1]["seconds_per_step"] == pytest.approx(2.0)


def test_a_step_that_the_host_leads_is_read_at_once_and_has_the_time_it_took(make, clock):
    m = make(log_every=1, advance=lambda optimizer: None)
    for step in range(1, 5):
        m.begin()
        clock.now += step
        push(m, step)
        assert len(m.log.lines) == step
        if step == 2:
            m.flush()
            clock.now += 500.0  # evaluation and saving
    assert [line["seconds_per_step"] for line in m.log.lines] == pytest.approx([1.0, 2.0, 3.0, 4.0])


def test_no_utilisation_is_claimed_where_the_peak_is_unknown(make):
    m = make(log_every=1)
    push(m, 1)
    m.flush()
    assert "mfu" not in m.latest
    assert m.latest["memory_gb"] > 0


def test_each_topic_is_warned_of_once(make):
    m = make(log_every=1)
    for step, warn in enumerate(([1.0], [1.0, 2.0], [2.0], [0.0], [1.0]), 1):
        push(m, step, warn=np.array(warn))
    m.flush()
    assert m.log.notes == ["warning: warned of 1", "warning: warned of 2"]


def test_giving_up_leaves_a_bundle_that_says_what_happened(make, tmp_path):
    m = make(max_bad_steps=2, log_every=10)
    push(m, 1, loss=np.float32(0.5))
    push(m, 2, loss=np.float32(np.nan), bad_steps=np.int32(1), histogram=np.ones(3))
    push(m, 3, loss=np.float32(np.inf), bad_steps=np.int32(2))
    with pytest.raises(InputError, match="not finite for 2 updates in a row at step 3") as caught:
        push(m, 4, loss=np.float32(np.nan), bad_steps=np.int32(3))
    path = tmp_path / "diagnostics" / "step-3.json"
    assert str(path) in str(caught.value)
    bundle = json.loads(path.read_text())
    assert (bundle["step"], bundle["bucket"]) == (3, "64x64")
    assert bundle["rows"] == [300 + i for i in range(ROWS)]
    assert ["nan" in m["loss"] for m in bundle["metrics"]] == [True, False]
    assert "inf" in bundle["metrics"][1]["loss"]
    assert "histogram" not in bundle["metrics"][0]
    assert m.clock.stops == [("not finite", 3)]


def test_a_good_update_between_bad_ones_saves_the_run(make):
    m = make(max_bad_steps=2)
    for step, bad in enumerate((1, 0, 1, 0, 1), 1):
        push(m, step, bad_steps=np.int32(bad))
    m.flush()
    assert m.clock.stops == []


def test_nothing_is_saved_before_the_step_in_flight_is_known(make):
    m = make(max_bad_steps=1)
    push(m, 1, bad_steps=np.int32(1))
    with pytest.raises(InputError, match="step 1"):
        m.flush()
