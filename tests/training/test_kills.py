"""A training run killed at any moment and started again ends with the same bits as one that never was."""

import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.training.checkpoints import read_extras, steps
from ugf_jax.training.step_files import read_description

STEPS = 24
CONFIG = """
from ugf_jax.config import config_dict
from ugf_jax.training.stages.tokenizer import Settings

def get_config():
    config = config_dict(Settings())
    config.steps, config.log_every, config.checkpoint.every = {steps}, 4, 3
    config.data.datasets, config.data.scales = ({data!r},), ((64, 8),)
    config.data.max_stretch, config.data.max_crop, config.data.threads = 0.2, 0.1, 2
    master, auxiliary = config.model.master, config.model.auxiliary
    master.size, master.patch = 32, 8
    for part in (master, auxiliary):
        part.width, part.depth, part.heads = 16, 2, 2
        part.quantizer.levels = (5, 5)
    auxiliary.window = 2
    config.objective.master.ms_ssim = config.objective.auxiliary.ms_ssim = 0.0
    config.optimizer.ema_decay = 0.9
    return config
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    rng = np.random.default_rng(0)
    records = []
    for i in range(32):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(file, "PNG")
        records.append(Record(key=str(i), images=(file.getvalue(),), sizes=((64, 64),)))
    write_dataset(folder / "data", records)
    path = folder / "config.py"
    path.write_text(CONFIG.format(steps=STEPS, data=str(folder / "data")))
    return path


def start(config: pathlib.Path, workdir: pathlib.Path) -> subprocess.Popen[str]:
    # One compilation cache for all runs: most of a run is not compiling, so kills fall on work.
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_COMPILATION_CACHE_DIR": str(config.parent / "compiled")}
    command = [sys.executable, "-m", "ugf_jax.cli.train", f"--config={config}", f"--workdir={workdir}"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(config, workdir):
    process = start(config, workdir)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return err


def bits(workdir):
    """Digest of every array of the last step: equal digests are equal bits."""
    folder = workdir / "checkpoints"
    step, _ = read_extras(folder)
    assert step == STEPS
    return {name: entry[2] for name, entry in read_description(folder / str(step))["arrays"].items()}


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    finish(config, workdir)
    return bits(workdir)


def interrupt(config, workdir, number, moments):
    """Starts the run once for each moment (steps on disk, then seconds more) and sends the signal there."""
    for after_step, delay in moments:
        process = start(config, workdir)
        while process.poll() is None and max(steps(workdir / "checkpoints"), default=0) < after_step:
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(number)
        process.communicate()
        yield process.returncode


def test_killed_runs_end_with_the_same_bits(config, undisturbed, tmp_path):
    codes = list(interrupt(config, tmp_path, signal.SIGKILL, [(6, 0.05), (15, 0.0)]))
    assert codes[0] == -signal.SIGKILL
    assert "resumed at step" in finish(config, tmp_path)
    assert bits(tmp_path) == undisturbed


def test_sigterm_saves_and_exits_75(config, undisturbed, tmp_path):
    codes = list(interrupt(config, tmp_path, signal.SIGTERM, [(6, 0.0)]))
    assert codes == [75]
    assert steps(tmp_path / "checkpoints")
    finish(config, tmp_path)
    assert bits(tmp_path) == undisturbed


@pytest.mark.slow
def test_twenty_random_kills(config, undisturbed, tmp_path):
    rng = random.Random(0)
    for _ in range(20):
        process = start(config, tmp_path)
        time.sleep(rng.uniform(0.5, 12.0))
        process.kill()
        process.communicate()
    finish(config, tmp_path)
    assert bits(tmp_path) == undisturbed


@pytest.mark.slow
def test_one_flipped_bit_sends_the_run_back_to_the_step_before(config, undisturbed, tmp_path):
    list(interrupt(config, tmp_path, signal.SIGTERM, [(9, 0.0)]))
    newest = max(steps(tmp_path / "checkpoints"))
    data = max((p for p in (tmp_path / "checkpoints" / str(newest)).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    damaged = bytearray(data.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    data.write_bytes(damaged)
    assert "damaged" in finish(config, tmp_path)
    assert bits(tmp_path) == undisturbed
