"""The supervisor's own rules; those that it shares with `launch.local` are tested there."""

import os
import signal
import threading
import time

import pytest

from launch.policy import Restarts
from launch.supervisor import Supervisor
from ugf_jax.errors import EXIT_RETRY


def counting(tmp_path, *codes):
    """A command that ends with the first code, then the second, and so on; the last again and again."""
    cases = " ".join(f"{n}) exit {code};;" for n, code in enumerate(codes))
    return ["sh", "-c", f"n=$(wc -l < {tmp_path}/n); echo >> {tmp_path}/n; case $n in {cases} *) exit {codes[-1]};; esac"]


@pytest.mark.parametrize(
    ("codes", "most", "code", "runs"),
    [
        ((75, 75, 75, 0), 0, 0, 4),
        ((1, 75, 1, 2), 2, 2, 4),
        ((1,), 2, 1, 3),
        ((2,), 9, 2, 1),
        ((0,), 9, 0, 1),
    ],
)
def test_a_run_starts_again_as_its_exit_codes_say(tmp_path, codes, most, code, runs):
    (tmp_path / "n").write_text("")
    supervisor = Supervisor(grace=5)
    command = counting(tmp_path, *codes)
    assert supervisor.repeat(lambda: supervisor.run([command]), Restarts(most), pause=0) == code
    assert len((tmp_path / "n").read_text()) == runs


def test_one_that_was_asked_to_stop_does_not_start_again(tmp_path):
    supervisor = Supervisor(grace=5)
    script = f"trap 'exit 75' TERM; touch {tmp_path}/up; while :; do sleep 0.02; done"

    def send():
        while not (tmp_path / "up").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    assert supervisor.repeat(lambda: supervisor.run([["sh", "-c", script]]), Restarts(9), pause=0) == 75
    sender.join()
    assert supervisor.stopped


def test_the_end_of_its_input_asks_a_process_to_stop(tmp_path):
    supervisor = Supervisor(grace=5, by_input=True)
    waits = ["sh", "-c", "trap 'exit 9' TERM; cat; exit 75"]  # a signal would give 9
    assert supervisor.run([["sh", "-c", "exit 3"], waits]) == 3
    assert supervisor.run([["sh", "-c", "sleep 0.1; exit 2"], waits]) == 2


def test_what_a_process_cannot_say_itself_is_said(capfd):
    ignores = "trap '' TERM; while :; do sleep 0.05; done"
    assert Supervisor(grace=0.3).run([["sh", "-c", ignores], ["sh", "-c", "sleep 0.1; kill -9 $$"]]) == EXIT_RETRY
    killed, late = capfd.readouterr().err.splitlines()
    assert killed == "process 1 was ended by signal 9 (Killed)"
    assert late == "process 0 still runs 0.3 seconds after the first has ended; killing it"
    assert Supervisor(grace=5).run([["sh", "-c", "exit 75"]]) == EXIT_RETRY
    assert capfd.readouterr().err == ""
