"""local: train with several processes on this machine, as several hosts would.

  python -m launch.local --processes=2 --devices=2 -- --config=experiments/demo.py --workdir=runs/demo
  python -m launch.local --processes=2 --dry-run -- --config=experiments/demo.py --workdir=runs/demo

What follows `--` goes to `ugf train` in each process; the processes find each other by themselves. Each has its own virtual
CPU devices, so a mesh over all of them is sharded across processes as it would be across machines. Process 0 is shown as it
is; lines of the others begin with their number, as in `[1] `.

Ctrl-C and SIGTERM are passed on: all processes save the same step and stop. Where one fails the others are ended, since they
could only wait for it. Exit code: 2 if any process ended with 2 (wrong input: do not retry), else 75 if one was preempted or
killed (the same command continues), else the first that is not 0. With --max_restarts the command continues by itself.
"""

import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags

from launch.policy import Restarts
from launch.supervisor import PAUSE, Supervisor, exit_code
from ugf_jax.cli import app
from ugf_jax.errors import InputError

__all__ = ["environment", "exit_code", "free_port", "launch", "train_command"]

FLAGS = flags.FlagValues()
flags.DEFINE_integer("processes", 2, "How many processes to start.", flag_values=FLAGS)
flags.DEFINE_integer("devices", 1, "Virtual CPU devices of each process.", flag_values=FLAGS)
flags.DEFINE_float("grace", 10.0, "Seconds that the others get to end after one has failed.", flag_values=FLAGS)
flags.DEFINE_integer(
    "max_restarts",
    -1,
    "Start again what was stopped or killed, and what crashed at most so often; -1: run once.",
    flag_values=FLAGS,
)
flags.DEFINE_bool("dry_run", False, "Print the commands and start nothing.", flag_values=FLAGS)
flags.DEFINE_alias("dry-run", "dry_run", flag_values=FLAGS)

Command = Callable[[int, int, int], list[str]]  # (processes, process, port) -> argv


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Starts the processes, or prints how they would be started."""
    for name in ("processes", "devices"):
        if getattr(values, name) < 1:
            raise InputError(f"--{name} is {getattr(values, name)}; want at least 1")
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
    elif code := launch(values.processes, values.devices, command, values.grace, values.max_restarts):
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


def launch(
    processes: int, devices: int, command: Command, grace: float = 10.0, max_restarts: int = -1, pause: float = PAUSE
) -> int:
    """Runs `command(processes, process, port)` for every process until all have ended, and returns the exit code.

    Args:
      processes: how many.
      devices: virtual CPU devices of each.
      command: gives the arguments of a process; `port` is free.
      grace: seconds between the first failure and the kill of those that still run.
      max_restarts: start again what was stopped or killed, and what crashed at most so often; -1: run once.
      pause: seconds before a restart.
    """
    supervisor = Supervisor(grace)

    def once() -> int:
        port = free_port()
        return supervisor.run([command(processes, process, port) for process in range(processes)], environment(devices))

    return once() if max_restarts < 0 else supervisor.repeat(once, Restarts(max_restarts), pause)


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the launcher as a program."""
    app.run("local", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
