"""local: train with several processes on this machine, as several hosts would.

  python -m launch.local --processes=2 --devices=2 -- --config=experiments/demo.py --workdir=runs/demo
  python -m launch.local --processes=2 --dry_run -- --config=experiments/demo.py --workdir=runs/demo

What follows `--` goes to `ugf train` in each process; the processes find each other by themselves. Each has its own virtual
CPU devices, so a mesh over all of them is sharded across processes as it would be across machines. Process 0 is shown as it
is; lines of the others begin with their number, as in `[1] `.

Ctrl-C and SIGTERM are passed on: all processes save the same step and stop. Where one fails the others are ended, since they
could only wait for it. Exit code: 2 if any process ended with 2 (wrong input: do not retry), else 75 if one was preempted or
killed (the same command continues), else the first that is not 0.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Any, NoReturn

from absl import flags

from ugf_jax.cli import app
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_RETRY, InputError

FLAGS = flags.FlagValues()
flags.DEFINE_integer("processes", 2, "How many processes to start.", flag_values=FLAGS)
flags.DEFINE_integer("devices", 1, "Virtual CPU devices of each process.", flag_values=FLAGS)
flags.DEFINE_float("grace", 10.0, "Seconds that the others get to end after one has failed.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print the commands and start nothing.", flag_values=FLAGS)

Command = Callable[[int, int, int], list[str]]  # (processes, process, port) -> argv


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Starts the processes, or prints how they would be started."""
    for name in ("processes", "devices"):
        if values[name].value < 1:
            raise InputError(f"--{name} is {values[name].value}; want at least 1")
    if values.grace < 0:
        raise InputError(f"--grace is {values.grace}; want at least 0 seconds")
    if not positional:
        raise InputError("nothing to run; give the flags of ugf train after --, e.g. -- --config=FILE --workdir=FOLDER")

    def command(processes: int, process: int, port: int) -> list[str]:
        return train_command(processes, process, port, positional)

    if values.dry_run:
        port = free_port()
        for process in range(values.processes):
            settings = [f"{k}={v}" for k, v in environment(values.devices).items()]
            print(shlex.join(["env", *settings, *command(values.processes, process, port)]))
    elif code := launch(values.processes, values.devices, command, values.grace):
        sys.exit(code)


def environment(devices: int) -> dict[str, str]:
    """The variables that give a process its virtual devices."""
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}


def train_command(processes: int, process: int, port: int, train_flags: Sequence[str]) -> list[str]:
    """`ugf train` as one process of several."""
    several = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={processes}", f"--process_id={process}"]
    return [sys.executable, "-m", "ugf_jax.cli.train", *several, *train_flags]


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def launch(processes: int, devices: int, command: Command, grace: float = 10.0) -> int:
    """Runs `command(processes, process, port)` for every process until all have ended, and returns the exit code.

    Args:
      processes: how many.
      devices: virtual CPU devices of each.
      command: gives the arguments of a process; `port` is free.
      grace: seconds between the first failure and the kill of those that still run.
    """
    port, variables = free_port(), os.environ | environment(devices)
    started: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []

    def forward(number: int, _frame: Any) -> None:
        _send(started, number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for process in range(processes):
            piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if process else {}
            # A session of its own: Ctrl-C in a terminal would otherwise reach it twice, and twice means "at once".
            arguments = command(processes, process, port)
            child = subprocess.Popen(arguments, env=variables, text=True, errors="replace", start_new_session=True, **piped)
            started.append(child)
            if child.stdout:
                readers.append(threading.Thread(target=_show, args=(child.stdout, f"[{process}] "), daemon=True))
                readers[-1].start()
        return exit_code(_wait(started, grace))
    finally:
        _send(started, signal.SIGKILL)
        for reader in readers:
            reader.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(codes: Sequence[int]) -> int:
    """One exit code for all, from those of the processes in the order in which they ended (negative: killed by a signal)."""
    if EXIT_BAD_INPUT in codes:
        return EXIT_BAD_INPUT
    if any(code == EXIT_RETRY or code < 0 for code in codes):
        return EXIT_RETRY
    return next((code for code in codes if code), EXIT_DONE)


def _wait(started: list[subprocess.Popen[str]], grace: float) -> list[int]:
    """Exit codes in the order of ending; of those that had to be ended, only the code for bad input counts."""
    running, codes, deadline = list(started), [], None
    while running:
        ended = [p.returncode for p in running if p.poll() is not None]
        running = [p for p in running if p.returncode is None]
        codes += ended if deadline is None else [c for c in ended if c == EXIT_BAD_INPUT]
        if deadline is None and any(ended):
            deadline = time.monotonic() + grace
            if any(code not in (EXIT_DONE, EXIT_RETRY) for code in ended):  # after 75 the others stop by themselves
                _send(running, signal.SIGTERM)
        if deadline is not None and time.monotonic() > deadline:
            _send(running, signal.SIGKILL)
        time.sleep(0.02)
    return codes


def _send(processes: Sequence[subprocess.Popen[str]], number: int) -> None:
    for process in processes:
        process.send_signal(number)  # does nothing to one that has ended


def _show(lines: IO[str], prefix: str) -> None:
    for line in lines:
        sys.stderr.write(prefix + line.rstrip("\n") + "\n")
        sys.stderr.flush()


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the launcher as a program."""
    app.run("local", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
