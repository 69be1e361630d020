"""Work gives the same results here and in other processes, errors come through, and nobody outlives the main process."""

import functools
import subprocess
import sys
import threading

import pytest

from ugf_jax.data.workers import available_cores, run_all, tick
from ugf_jax.errors import InputError

PROGRAM = """
from ugf_jax.data.workers import run_all
if __name__ == "__main__":
    for pid in run_all(eval, ["__import__('os').getpid()"] * 2 + ["__import__('time').sleep(60)"] * 4, 2):
        print(pid, flush=True)
"""


def test_here_every_item_is_told():
    told = []

    def work(n):
        for _ in range(n):
            tick()
        return n * n

    assert list(run_all(work, [1, 2, 3], 1, told.append)) == [1, 4, 9]
    assert told == [1] * 6
    tick()  # outside of any work nobody listens
    assert len(told) == 6


def test_errors_come_through_here():
    def work(n):
        raise InputError(f"bad {n}")

    with pytest.raises(InputError, match="bad 7"):
        list(run_all(work, [7], 1))


def test_other_processes_give_the_same_results():
    assert sorted(run_all(abs, range(-9, 3), 2)) == sorted(map(abs, range(-9, 3)))


def test_errors_come_through_from_other_processes():
    with pytest.raises(ValueError, match="invalid literal"):
        list(run_all(functools.partial(int, base=10), ["1", "x"], 2))


def test_workers_die_with_the_main_process(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert int(process.stdout.readline()) != process.pid
    process.kill()
    ended = threading.Thread(target=process.stdout.read)  # the pipe ends when the last process that holds it has ended
    ended.start()
    ended.join(timeout=40)  # the workers would sleep longer
    assert not ended.is_alive()
    process.wait()


def test_there_is_a_core():
    assert available_cores() >= 1
