"""A run of two processes of four devices goes on with other numbers of both, on the same batches.

Ten starts of JAX take minutes, so this is a slow test.
"""

import io
import os
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image

from launch import local
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import EXIT_RETRY
from ugf_jax.json_files import JsonLines
from ugf_jax.training.run_history import read_run_history

STEPS, LOG = 6300, 10
CONFIG = """
from ugf_jax.config import config_dict
from ugf_jax.training.image_data import ImageTrainSettings

def get_config():
    config = config_dict(ImageTrainSettings())
    config.steps, config.log_every, config.checkpoint.every = {steps}, {log}, 50
    config.mesh.data, config.mesh.fsdp = 2, -1
    config.data.datasets, config.data.scales = ({data!r},), ((16, 8),)
    config.data.max_stretch, config.data.max_crop, config.data.threads = 0.2, 0.2, 1
    config.data.patch = 8
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
    (folder / "config.py").write_text(CONFIG.format(steps=STEPS, log=LOG, data=str(folder / "data")))
    return folder


def run(folder, workdir, processes=2, devices=4):
    """Exit code of all processes as one."""

    def command(processes, process, port):
        several = [f"--config={folder / 'config.py'}", f"--workdir={workdir}"]
        program, *rest = local.train_command(processes, process, port, several)
        return [program, str(folder / "program.py"), *rest[2:]]

    return local.launch(processes, devices, command, grace=25)


def stop_half_way(folder, workdir):
    """Asks process 1 to stop when half of the steps are done."""
    while max((line["step"] for line in JsonLines(workdir / "metrics.jsonl").read()), default=0) < STEPS // 2:
        time.sleep(0.05)
    os.kill(int((folder / "pid-1").read_text()), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "devices"), [(1, 4), (4, 2)])
def test_another_number_of_processes_goes_on_with_the_same_batches(folder, tmp_path, processes, devices):
    """The run knows no difference but rounding."""
    whole, elastic = tmp_path / "whole", tmp_path / "elastic"
    assert run(folder, whole) == 0
    hand = threading.Thread(target=stop_half_way, args=(folder, elastic))
    hand.start()
    assert run(folder, elastic) == EXIT_RETRY
    hand.join()
    assert run(folder, elastic, processes, devices) == 0
    losses = [{line["step"]: line["loss"] for line in JsonLines(w / "metrics.jsonl").read()} for w in (whole, elastic)]
    assert losses[0].keys() == losses[1].keys()
    again = read_run_history(elastic).attempts[1].first
    for step, loss in losses[0].items():
        if not again < step < again + LOG:  # a line is the mean since the one before, or since the start
            assert losses[1][step] == pytest.approx(loss, rel=1e-3, abs=1e-6), step
