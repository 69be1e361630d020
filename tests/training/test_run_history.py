"""The history of a run, from what its processes left."""

import pytest

from ugf_jax.errors import InputError
from ugf_jax.training.goodput import Goodput
from ugf_jax.training.run_history import read_run_history


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def workdir(tmp_path):
    """Killed after step 30 with 20 saved, hung, stopped, done."""
    clock = Clock()

    def attempt(first, last, saved=None):
        run = Goodput(tmp_path, clock=clock, wall=clock, interval=0.0)
        run.resumed(first)
        with run.section("compile"):
            clock.now += 5
        for step in range(first + 1, last + 1):
            with run.section("step"):
                clock.now += 1
            if step == first + 1:
                run.ready(step, {"imports": 2.0, "compile": 5.0})
            run.mark(step, saved=step == saved)
        return run

    attempt(0, 30, saved=20)
    clock.now += 100
    attempt(20, 25, saved=25).stop("hung: data")
    attempt(25, 40).stop("preempted", 40)
    attempt(40, 50).stop("done", 50)
    return tmp_path


def test_every_start_tells_how_it_ended_and_what_was_lost(workdir):
    attempts = read_run_history(workdir).attempts
    assert [(a.first, a.last, a.cause, a.lost) for a in attempts] == [
        (0, 30, "killed", 10),
        (20, 25, "hung: data", 0),
        (25, 40, "preempted", 0),
        (40, 50, "done", 0),
    ]
    assert [a.seconds for a in attempts] == [35, 10, 20, 15]
    assert attempts[0].seconds_by_section["step"] == 30
    assert attempts[2].start_up == {"imports": 2.0, "compile": 5.0}


def test_the_summary_is_what_a_further_start_would_log(workdir):
    history = read_run_history(workdir)
    clock = Clock()
    clock.now = history.attempts[-1].started + history.attempts[-1].seconds
    again = Goodput(workdir, write=True, clock=clock, wall=clock)
    again.resumed(50)
    expected = again.summary()
    assert history.summary == expected | {"runs": 4}
    assert (history.summary["lost"], history.summary["down"], history.summary["step"]) == (10, 100, 50)


def test_the_end_of_one_that_still_runs_is_not_told(tmp_path):
    Goodput(tmp_path).resumed(7)
    (attempt,) = read_run_history(tmp_path).attempts
    assert (attempt.first, attempt.last, attempt.cause, attempt.lost) == (7, 7, "", 0)
    assert attempt.start_up == {}


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"not the work folder of a training run \(no runs\.jsonl in it\)"):
        read_run_history(tmp_path)
    (tmp_path / "runs.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="no start of a run in it"):
        read_run_history(tmp_path)
