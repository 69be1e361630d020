"""Two processes of four devices each train the tokenizers of `make demo`, are disturbed twenty times in every way we know, and
end with the bits of an undisturbed run.

Twenty-two starts of JAX, each of which compiles, take three quarters of an hour on two cores, so this is a slow test.
"""

import os
import random
import resource
import signal
import threading
import time

import pytest

from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_RETRY
from ugf_jax.training.checkpoints import read_extras, steps
from ugf_jax.training.run_history import read_run_history
from ugf_jax.training.step_files import read_description

STEPS, EVERY, LOG = 84, 4, 1
FAULTS = ("term", "kill", "stop", "full disk", "flipped bit")
FLAGS = (
    f"--config.steps={STEPS}",
    f"--config.checkpoint.every={EVERY}",
    f"--config.log_every={LOG}",
    "--config.data.scales=((192, 8),)",  # one row a device: what is tested is not arithmetic
    "--config.data.max_aspect=1",  # one shape to compile
    "--config.heartbeat=20",
    "--config.watchdog.checkpoint=30",
    "--config.mesh.data=2",
    "--config.mesh.fsdp=4",
)


def bits(workdir):
    step, _ = read_extras(workdir / "checkpoints")
    assert step == STEPS
    return {name: entry[2] for name, entry in read_description(workdir / "checkpoints" / str(step))["arrays"].items()}


def disturb(demo_run, workdir, fault, victim, after, delay):
    """Waits until the run has passed a step, then does it to one process."""
    pid = demo_run.process_id(victim, workdir, after)
    time.sleep(delay)
    if fault == "full disk":  # no file may grow: the next save or log line fails
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
    else:
        os.kill(pid, {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}.get(fault, signal.SIGTERM))


def flip_a_bit(workdir):
    newest = max(steps(workdir / "checkpoints"))
    files = (workdir / "checkpoints" / str(newest)).rglob("arrays/**/d/*")  # what arrays hold, not what is written about them
    largest = max((p for p in files if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)


def supervised(demo_run, workdir):
    """Runs until the end, as a cluster does, whatever else may end a run."""
    while (code := demo_run(workdir, FLAGS)) == EXIT_RETRY:
        pass
    return code


@pytest.mark.slow
def test_twenty_random_faults(demo_run, tmp_path, capfd):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    assert supervised(demo_run, undisturbed) == 0
    rng = random.Random(0)
    faults = [FAULTS[i % len(FAULTS)] for i in range(20)]
    rng.shuffle(faults)
    damaged = 0
    for number, fault in enumerate(faults, 1):
        victim = 0 if fault == "full disk" else rng.randrange(2)  # process 0 writes
        moment = (demo_run, disturbed, fault, victim, number * STEPS // 21, rng.uniform(0, 3))
        hand = threading.Thread(target=disturb, args=moment)
        hand.start()
        while hand.is_alive():
            code = demo_run(disturbed, FLAGS)
            said = capfd.readouterr().err
            # A disk that is full while arrays are written leaves the other process waiting for it: the watchdog ends that.
            assert code in ((EXIT_BAD_INPUT, EXIT_RETRY) if fault == "full disk" else (EXIT_RETRY,)), (fault, said)
            hand.join(timeout=1)
        if fault == "flipped bit":
            flip_a_bit(disturbed)
            damaged += 1
    assert supervised(demo_run, disturbed) == 0
    assert bits(disturbed) == bits(undisturbed)
    attempts = read_run_history(disturbed).attempts
    assert len(attempts) >= 21
    assert attempts[-1].cause == "done"
    assert len(list((disturbed / "checkpoints").glob("damaged-*"))) == damaged == 4
    # A flipped bit costs the save that it is in as well.
    assert all(attempt.lost <= 2 * EVERY + LOG for attempt in attempts)
    assert {attempt.cause for attempt in attempts} >= {"killed", "preempted", "done"}
