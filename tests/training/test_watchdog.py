"""A run that hangs says where, and ends so that it is started again."""

import itertools
import subprocess
import sys
import threading

import pytest

from ugf_jax.errors import EXIT_RETRY
from ugf_jax.json_files import JsonLines
from ugf_jax.training.goodput import SECTIONS, Goodput
from ugf_jax.training.watchdog import Watchdog, WatchdogSettings

HANG = """
import sys, threading
from ugf_jax.training.watchdog import Watchdog, WatchdogSettings

def stuck_in_a_collective():
    threading.Event().wait()

with Watchdog(WatchdogSettings(step=0.05), sys.argv[1], 3) as watchdog, watchdog.section("step"):
    stuck_in_a_collective()
"""


def settings(**limits):
    return WatchdogSettings(**dict.fromkeys(("init", "compile", "step", "data", "checkpoint", "evaluation"), 0.0) | limits)


class Ended:
    """Stands in for the end of the process."""

    def __init__(self):
        self.codes, self.event = [], threading.Event()

    def __call__(self, code):
        self.codes.append(code)
        self.event.set()


def test_a_hung_process_writes_down_where_it_stands_and_exits_75(tmp_path):
    done = subprocess.run([sys.executable, "-c", HANG, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == EXIT_RETRY
    assert "'step' takes more than config.watchdog.step, 0.05 seconds" in done.stderr
    assert "stuck_in_a_collective" in done.stderr
    written = (tmp_path / "stacks-3.txt").read_text()
    assert written.startswith("hung in section 'step'")
    assert "stuck_in_a_collective" in written


def test_the_cause_is_in_the_history_of_the_run(tmp_path, capfd):
    ended = Ended()
    watchdog = Watchdog(settings(data=0.01), tmp_path, leave=ended)
    clock = Goodput(tmp_path, watch=watchdog.section)
    watchdog.hung = lambda section: clock.stop(f"hung: {section}")
    clock.resumed(40)
    with watchdog, clock.section("data"):
        assert ended.event.wait(60)
    assert ended.codes == [EXIT_RETRY]
    last = JsonLines(tmp_path / "runs.jsonl").read()[-1]
    assert (last["event"], last["cause"], last["step"]) == ("stop", "hung: data", 40)


def test_each_stay_in_a_section_counts_by_itself_and_only_where_there_is_a_limit(tmp_path):
    ended, now = Ended(), itertools.count()
    watchdog = Watchdog(settings(step=1e9), tmp_path, leave=ended, clock=lambda: float(next(now)))
    with watchdog:
        for _ in range(3):
            with watchdog.section("step"), watchdog.section("checkpoint"):
                pass
        with watchdog.section("evaluation"):
            pass
    assert not ended.codes


def test_an_outer_section_begins_anew_after_an_inner_one(tmp_path):
    ticks = iter(range(100))
    watchdog = Watchdog(settings(), tmp_path, clock=lambda: float(next(ticks)))
    with watchdog.section("evaluation"):
        assert watchdog._watched == ("evaluation", 0.0)
        with watchdog.section("data"):
            assert watchdog._watched == ("data", 1.0)
        assert watchdog._watched == ("evaluation", 2.0)
    assert watchdog._watched is None


def test_a_disk_that_hangs_too_does_not_keep_the_process(tmp_path, monkeypatch, capfd):
    ended = Ended()
    watchdog = Watchdog(settings(step=0.01), tmp_path / "not" / "there", leave=ended)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # the folder is gone; the process must end all the same
    with watchdog, watchdog.section("step"):
        assert ended.event.wait(60)
    assert ended.codes == [EXIT_RETRY]


@pytest.mark.parametrize("name", SECTIONS)
def test_sections_with_limits_are_those_of_the_loop(name):
    assert hasattr(WatchdogSettings(), name) == (name != "other")
