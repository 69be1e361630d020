"""Two processes of four devices each, disturbed twenty times in every way we know, end with the bits of an undisturbed run.

Twenty starts of JAX take minutes, so this is a slow test.
"""

import io
import os
import random
import resource
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image

from launch import local
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_RETRY
from ugf_jax.json_files import JsonLines
from ugf_jax.training.checkpoints import read_extras, steps
from ugf_jax.training.run_history import read_run_history
from ugf_jax.training.step_files import read_description

STEPS, EVERY, LOG = 6300, 50, 10
FAULTS = ("term", "kill", "stop", "full disk", "flipped bit")
CONFIG = """
from ugf_jax.config import config_dict
from ugf_jax.training.image_data import ImageTrainSettings

def get_config():
    config = config_dict(ImageTrainSettings())
    config.steps, config.log_every, config.checkpoint.every = {steps}, {log}, {every}
    config.mesh.data, config.mesh.fsdp, config.heartbeat = 2, 4, 10
    config.data.datasets, config.data.scales = ({data!r},), ((16, 8),)
    config.data.max_stretch, config.data.max_crop, config.data.threads = 0.2, 0.2, 1
    config.data.patch, config.watchdog.checkpoint = 8, 20.0
    return config
"""
# What it learns depends on every batch, in order; each process says who it is, so that it can be disturbed.
PROGRAM = """
import os, pathlib, sys
import jax, jax.numpy as jnp, numpy as np
from ugf_jax.cli import train
from ugf_jax.training import stages
from ugf_jax.training.image_data import ImageTrainSettings, image_source
from ugf_jax.training.stage import Stage

def level(batch):
    return batch["image"].astype(jnp.float32).mean(axis=(1, 2, 3)) / 255

def init(key, batch):
    return {"weight": jax.random.normal(key, (8, 3))}, {}

def loss(params, state, batch, key, step):
    noise = 0.1 * jax.random.normal(key, (8, 3))
    value = jnp.mean((params["weight"].sum(0)[None] - level(batch)[:, None]) ** 2) + jnp.mean(params["weight"] * noise)
    return value, (state, {})

def summarize(metrics):
    return {k: float(v) for k, v in metrics.items() if np.ndim(v) == 0}, {}

stages.find = lambda name: stages.StageType(
    ImageTrainSettings,
    lambda settings: Stage("toy", init, loss, summarize, None, None, ((r"weight", ("embed", None)),)),
    image_source)
number = next(a.partition("=")[2] for a in sys.argv if a.startswith("--process_id="))
pathlib.Path(__file__).with_name(f"pid-{number}").write_text(str(os.getpid()))
train.run()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    rng = np.random.default_rng(0)
    records = []
    for i in range(64):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(file, "PNG")
        records.append(Record(key=f"{i:02d}", images=(file.getvalue(),), sizes=((16, 16),)))
    write_dataset(folder / "data", records)
    (folder / "program.py").write_text(PROGRAM)
    (folder / "config.py").write_text(CONFIG.format(steps=STEPS, log=LOG, every=EVERY, data=str(folder / "data")))
    return folder


def run(folder, workdir):
    """Exit code of both processes as one."""

    def command(processes, process, port):
        several = [f"--config={folder / 'config.py'}", f"--workdir={workdir}"]
        program, *rest = local.train_command(processes, process, port, several)
        return [program, str(folder / "program.py"), *rest[2:]]

    return local.launch(2, 4, command, grace=25)


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


@pytest.mark.slow
def test_another_number_of_processes_goes_on_with_the_same_batches(folder, tmp_path):
    """2 × 4 devices, then 1 × 8: the run knows no difference but rounding."""
    whole, elastic = tmp_path / "whole", tmp_path / "elastic"
    assert run(folder, whole) == 0
    hand = threading.Thread(target=disturb, args=(folder, elastic, "term", 1, STEPS // 2, 0.0))
    hand.start()
    assert run(folder, elastic) == EXIT_RETRY
    hand.join()

    def command(processes, process, port):
        several = [f"--config={folder / 'config.py'}", f"--workdir={elastic}"]
        program, *rest = local.train_command(processes, process, port, several)
        return [program, str(folder / "program.py"), *rest[2:]]

    assert local.launch(1, 8, command) == 0
    losses = [{line["step"]: line["loss"] for line in JsonLines(w / "metrics.jsonl").read()} for w in (whole, elastic)]
    assert losses[0].keys() == losses[1].keys()
    again = read_run_history(elastic).attempts[1].first
    for step, loss in losses[0].items():
        if not again < step < again + LOG:  # a line is the mean since the one before, or since the start
            assert losses[1][step] == pytest.approx(loss, rel=1e-3, abs=1e-6), step
