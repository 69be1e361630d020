import pytest

from launch import grace
from ugf_jax.errors import InputError
from ugf_jax.json_files import JsonLines
from ugf_jax.training.goodput import Goodput


class Clock:
    """A clock that moves when told; the same for both times of `Goodput`."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def write_run(workdir, save=2.0, write=3.0, evaluation=10.0, step=0.5, steps=4, cause="preempted", processes=2):
    """A run as the trainer records it: steps, an evaluation, a save every four steps; what ends it waits for the writing."""
    workdir.mkdir(exist_ok=True)
    clock = Clock()
    reached = 0
    for _ in range(processes):
        run = Goodput(workdir, clock=clock, wall=clock)
        with run.section("init"):
            clock.now += 20
        run.resumed(reached)
        for _ in range(2):
            with run.section("step"):
                clock.now += step * steps
            reached += steps
            with run.section("evaluation"):
                clock.now += evaluation
            with run.section("checkpoint"):
                clock.now += save
                run.mark(reached, saved=True)
        clock.now += write
        if cause:
            run.stop(cause, reached)
        clock.now += 100  # until the next process starts


def test_what_a_run_recorded_is_what_it_did(tmp_path):
    write_run(tmp_path)
    found = grace.measure(JsonLines(tmp_path / "runs.jsonl").read())
    assert (found.save, found.write, found.evaluation, found.step) == pytest.approx((2, 3, 10, 0.5))


@pytest.mark.parametrize(("slower", "value"), [("save", 60.0), ("write", 90.0), ("evaluation", 300.0), ("step", 30.0)])
def test_whatever_is_slower_asks_for_more_and_all_of_it_fits(tmp_path, slower, value):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", **{slower: value})
    (usual, _), (longer, how) = (grace.from_run(str(tmp_path / name)) for name in "ab")
    assert longer > usual
    assert longer >= value + 30
    assert longer % 10 == 0
    assert str(tmp_path / "b") in how


def test_time_between_two_processes_counts_for_nothing(tmp_path):
    write_run(tmp_path / "a", processes=1)
    write_run(tmp_path / "b", processes=5)
    assert grace.from_run(str(tmp_path / "a"))[0] == grace.from_run(str(tmp_path / "b"))[0]


def test_a_run_that_was_killed_shows_no_writing_so_that_of_its_saves_stands_in(tmp_path):
    write_run(tmp_path, cause=None)
    found = grace.measure(JsonLines(tmp_path / "runs.jsonl").read())
    assert found.write == found.save == pytest.approx(2)


def test_a_run_that_hung_does_not_measure_its_hanging(tmp_path):
    write_run(tmp_path / "a", cause=None)
    write_run(tmp_path / "b", write=3600.0, cause="hung: checkpoint")
    assert grace.from_run(str(tmp_path / "a"))[0] == grace.from_run(str(tmp_path / "b"))[0]


def test_without_a_save_there_is_nothing_to_go_by(tmp_path):
    with pytest.raises(InputError, match=r"--grace_from: .*runs.jsonl tells of no save"):
        grace.from_run(str(tmp_path))
    run = Goodput(tmp_path)
    run.resumed(0)
    run.mark(0)
    assert grace.measure(run.past) is None
