"""Processes of one run, started and ended together: nobody is left waiting for one that is gone."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from launch.policy import Restarts
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_RETRY

PAUSE = 5.0  # seconds before a restart: a host that fails at once must not be asked a hundred times a second


class Supervisor:
    """Runs several processes as one.

    Signals to this process are passed on, so that all save the same step and stop. Where one fails the others are ended.

    Args:
      grace: seconds between the first failure and the kill of those that still run.
      by_input: ask processes to stop by closing their standard input, not by a signal: what a signal to `ssh` does not reach.
    """

    def __init__(self, grace: float, by_input: bool = False):
        self.grace, self.by_input = grace, by_input
        self.stopped = False  # by a signal to this process

    def run(self, commands: Sequence[Sequence[str]], variables: Mapping[str, str] | None = None) -> int:
        """Runs the commands until all have ended, and returns the exit code of all (see `exit_code`).

        Args:
          commands: arguments of each; the first is shown as it is, lines of the others begin with their number.
          variables: of the environment, beside those of this process.
        """
        environment = os.environ | (variables or {})
        started: list[subprocess.Popen[str]] = []
        readers: list[threading.Thread] = []

        def forward(number: int, _frame: Any) -> None:
            self.stopped = True
            self._ask(started, number)

        before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for process, arguments in enumerate(commands):
                piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if process else {}
                if self.by_input:
                    piped["stdin"] = subprocess.PIPE
                # A session of its own: Ctrl-C in a terminal would otherwise reach it twice, and twice means "at once".
                child = subprocess.Popen(
                    arguments, env=environment, text=True, errors="replace", start_new_session=True, **piped
                )
                started.append(child)
                if child.stdout:
                    readers.append(threading.Thread(target=_show, args=(child.stdout, f"[{process}] "), daemon=True))
                    readers[-1].start()
            return exit_code(self._wait(started))
        finally:
            _send(started, signal.SIGKILL)
            for reader in readers:
                reader.join()
            for child in started:
                if child.stdin:
                    child.stdin.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def repeat(self, run: Callable[[], int], restarts: Restarts, pause: float = PAUSE) -> int:
        """Calls `run` until it is done, or not to be started again, or this process was asked to stop; its last exit code."""
        while True:
            code = run()
            if self.stopped or not restarts.again(code):
                return code
            _say(f"ended with exit code {code}; starting again ({restarts.crashes} crashes so far)")
            time.sleep(pause)

    def _ask(self, processes: Sequence[subprocess.Popen[str]], number: int) -> None:
        """Asks processes to save and stop."""
        if not self.by_input:
            _send(processes, number)
        for process in processes:
            if process.stdin and not process.stdin.closed:
                process.stdin.close()

    def _wait(self, started: list[subprocess.Popen[str]]) -> list[int]:
        """Exit codes in the order of ending; of those that had to be ended, only the code for bad input counts."""
        running, codes, deadline = dict(enumerate(started)), [], None
        while running:
            ended = {number: p.returncode for number, p in running.items() if p.poll() is not None}
            running = {number: p for number, p in running.items() if number not in ended}
            codes += [code for code in ended.values() if deadline is None or code == EXIT_BAD_INPUT]
            if deadline is None and any(ended.values()):
                deadline = time.monotonic() + self.grace
                for number, code in ended.items():
                    if code < 0:  # it could not say so itself
                        _say(f"process {number} was ended by signal {-code} ({signal.strsignal(-code)})")
                if set(ended.values()) - {EXIT_DONE, EXIT_RETRY}:  # after 75 the others stop by themselves
                    self._ask(list(running.values()), signal.SIGTERM)
            if running and deadline is not None and time.monotonic() > deadline:
                late = ", ".join(map(str, running))
                _say(f"process {late} still runs {self.grace:g} seconds after the first has ended; killing it")
                _send(list(running.values()), signal.SIGKILL)
                deadline = math.inf
            time.sleep(0.02)
        return codes


def exit_code(codes: Sequence[int]) -> int:
    """One exit code for all, from those of the processes in the order in which they ended (negative: killed by a signal)."""
    if EXIT_BAD_INPUT in codes:
        return EXIT_BAD_INPUT
    if any(code == EXIT_RETRY or code < 0 for code in codes):
        return EXIT_RETRY
    return next((code for code in codes if code), EXIT_DONE)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _send(processes: Sequence[subprocess.Popen[str]], number: int) -> None:
    for process in processes:
        process.send_signal(number)  # does nothing to one that has ended


def _show(lines: IO[str], prefix: str) -> None:
    for line in lines:
        sys.stderr.write(prefix + line.rstrip("\n") + "\n")
        sys.stderr.flush()
