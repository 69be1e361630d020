import pytest

from ugf_jax.json_files import JsonLines
from ugf_jax.training.goodput import SECTIONS, Goodput


class Clock:
    def __init__(self, now=0.0):
        self.now = now

    def __call__(self):
        return self.now


def start(workdir, clock, step=0, **more):
    goodput = Goodput(workdir, clock=clock, wall=clock, **more)
    goodput.resumed(step)
    return goodput


def spend(goodput, clock, **seconds):
    for name, amount in seconds.items():
        with goodput.section(name):
            clock.now += amount


def test_sections_split_the_time_and_add_up(tmp_path):
    clock = Clock()
    goodput = start(tmp_path, clock)
    spend(goodput, clock, init=3, compile=7, step=20, data=5)
    clock.now += 2
    with goodput.section("evaluation"):
        clock.now += 1
        spend(goodput, clock, checkpoint=4)  # interrupts the evaluation
        clock.now += 1
    spend(goodput, clock, step=7)
    summary = goodput.summary()
    assert {name: summary[name] for name in SECTIONS} == {
        "init": 3,
        "compile": 7,
        "step": 27,
        "data": 5,
        "checkpoint": 4,
        "evaluation": 2,
        "other": 2,
    }
    assert sum(summary[name] for name in SECTIONS) == clock.now
    assert goodput.goodput() == summary["goodput"] == pytest.approx(27 / 50)
    assert (summary["lost"], summary["down"], summary["runs"]) == (0, 0, 1)


def test_an_exception_closes_its_section(tmp_path):
    clock = Clock()
    goodput = start(tmp_path, clock)
    with pytest.raises(ZeroDivisionError), goodput.section("step"):
        clock.now += 1 / 0
    clock.now += 2
    assert (goodput.summary()["step"], goodput.summary()["other"]) == (0, 2)


def test_an_unknown_section_is_refused(tmp_path):
    with pytest.raises(ValueError, match="section 'nap'; want one of init"), Goodput(tmp_path).section("nap"):
        pass


def test_work_done_twice_is_lost(tmp_path):
    clock = Clock(100.0)
    killed = start(tmp_path, clock, interval=0.0)
    spend(killed, clock, init=10)
    for step in range(10, 60, 10):  # one second a step, saved at 20 and 40, marked every 10 steps, killed after 50
        spend(killed, clock, step=10)
        killed.mark(step, saved=step in (20, 40))
    clock.now += 1000  # nobody restarts it at once

    again = start(tmp_path, clock, step=40)
    spend(again, clock, init=10, step=20)
    summary = again.summary()
    assert summary["lost"] == 10
    assert summary["down"] == 1000
    assert summary["runs"] == 2
    assert summary["init"] == 20
    assert summary["step"] == 60  # steps 1 … 60, each once
    assert summary["goodput"] == pytest.approx(60 / 90, abs=1e-4)
    assert sum(summary[name] for name in (*SECTIONS, "lost")) == 90


def test_going_back_behind_the_last_run_loses_its_work_too(tmp_path):
    clock = Clock()
    for begin, end in ((0, 20), (20, 40)):
        run = start(tmp_path, clock, begin)
        spend(run, clock, step=20)
        run.stop("preempted", end)
    third = start(tmp_path, clock, 10)  # both later checkpoints were damaged
    spend(third, clock, step=30)
    assert third.summary()["lost"] == 30
    assert third.summary()["step"] == 40
    third.stop("done", 40)
    fourth = start(tmp_path, clock, 40)
    assert fourth.summary()["lost"] == 30  # counted once


def test_marks_are_rare_unless_they_are_saves(tmp_path):
    clock = Clock()
    goodput = start(tmp_path, clock, interval=30.0)
    for step in range(1, 101):
        spend(goodput, clock, step=1)
        goodput.mark(step, saved=step == 50)
    goodput.stop("done", 100)
    events = [(line["event"], line["step"]) for line in JsonLines(tmp_path / "runs.jsonl").read()]
    assert events == [("start", 0), ("mark", 30), ("mark", 50), ("mark", 80), ("stop", 100)]


def test_other_processes_write_nothing(tmp_path):
    clock = Clock()
    goodput = start(tmp_path, clock, write=False)
    spend(goodput, clock, step=3)
    goodput.mark(1, saved=True)
    goodput.stop("done", 1)
    assert goodput.goodput() == 1
    assert list(tmp_path.iterdir()) == []
