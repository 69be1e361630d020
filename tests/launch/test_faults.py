"""Two processes of four devices each train the tokenizers of `make demo`, are disturbed twenty times in every way we know, and
end with the bits of an undisturbed run.

Twenty starts of JAX take half an hour on two cores, so this is a slow test.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from launch import local
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_RETRY
from ugf_jax.json_files import JsonLines
from ugf_jax.training.checkpoints import read_extras, steps
from ugf_jax.training.run_history import read_run_history
from ugf_jax.training.step_files import read_description

STEPS, EVERY, LOG = 210, 10, 1
FAULTS = ("term", "kill", "stop", "full disk", "flipped bit")
FLAGS = (
    f"--config.steps={STEPS}",
    f"--config.checkpoint.every={EVERY}",
    f"--config.log_every={LOG}",
    "--config.heartbeat=10",
    "--config.watchdog.checkpoint=20",
    "--config.mesh.data=2",
    "--config.mesh.fsdp=4",
)
# `ugf train` that says who it is, so that it can be disturbed.
PROGRAM = """
import os, pathlib, sys
from ugf_jax.cli import train
number = next(a.partition("=")[2] for a in sys.argv if a.startswith("--process_id="))
pathlib.Path(__file__).with_name(f"pid-{number}").write_text(str(os.getpid()))
train.run()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    for source, name in (("clipart", "clipart"), ("shapes:3000", "shapes")):
        prepare = [sys.executable, "-m", "ugf_jax.cli.prepare", source, str(folder / "demo" / "data" / name)]
        subprocess.run(prepare, check=True, capture_output=True)
    (folder / "program.py").write_text(PROGRAM)
    return folder


def run(folder, workdir, processes=2, devices=4):
    """Exit code of all processes as one."""

    def command(processes, process, port):
        several = [f"--config=experiments/demo.py:{folder / 'demo'}", f"--workdir={workdir}", *FLAGS]
        program, *rest = local.train_command(processes, process, port, several)
        return [program, str(folder / "program.py"), *rest[2:]]

    return local.launch(processes, devices, command, grace=25)


def bits(workdir):
    step, _ = read_extras(workdir / "checkpoints")
    assert step == STEPS
    return {name: entry[2] for name, entry in read_description(workdir / "checkpoints" / str(step))["arrays"].items()}


def reached(workdir):
    lines = JsonLines(workdir / "metrics.jsonl").read()
    return max((line["step"] for line in lines), default=0)


def disturb(folder, workdir, fault, victim, after, delay):
    """Waits until the run has passed a step, then does it to one process."""
    while reached(workdir) < after:
        time.sleep(0.05)
    time.sleep(delay)
    pid = int((folder / f"pid-{victim}").read_text())
    if fault == "full disk":  # no file may grow: the next save or log line fails
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
    else:
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}.get(fault, signal.SIGTERM)
        os.kill(pid, number)


def flip_a_bit(workdir):
    newest = max(steps(workdir / "checkpoints"))
    files = (workdir / "checkpoints" / str(newest)).rglob("arrays/**/d/*")  # what arrays hold, not what is written about them
    largest = max((p for p in files if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)


@pytest.mark.slow
def test_twenty_random_faults(folder, tmp_path, capfd):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    assert run(folder, undisturbed) == 0
    rng = random.Random(0)
    faults = [FAULTS[i % len(FAULTS)] for i in range(20)]
    rng.shuffle(faults)
    damaged = 0
    for number, fault in enumerate(faults, 1):
        victim = 0 if fault == "full disk" else rng.randrange(2)  # process 0 writes
        moment = (folder, disturbed, fault, victim, number * STEPS // 21, rng.uniform(0, 0.2))
        hand = threading.Thread(target=disturb, args=moment)
        hand.start()
        code = run(folder, disturbed)
        hand.join()
        said = capfd.readouterr().err
        # A disk that is full while arrays are written leaves the other process waiting for this one: the watchdog ends that.
        assert code in ((EXIT_BAD_INPUT, EXIT_RETRY) if fault == "full disk" else (EXIT_RETRY,)), (fault, said)
        if fault == "flipped bit":
            flip_a_bit(disturbed)
            damaged += 1
    assert run(folder, disturbed) == 0
    assert bits(disturbed) == bits(undisturbed)
    attempts = read_run_history(disturbed).attempts
    assert len(attempts) == 21
    assert attempts[-1].cause == "done"
    assert len(list((disturbed / "checkpoints").glob("damaged-*"))) == damaged == 4
    # A flipped bit costs the save that it is in as well.
    assert all(attempt.lost <= 2 * EVERY + LOG for attempt in attempts)
    assert {attempt.cause for attempt in attempts} >= {"killed", "preempted", "done"}
