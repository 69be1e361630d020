"""Several processes of one run: the launcher's own rules, and that the run is the same as in one process."""

import io
import json
import os
import pathlib
import shlex
import signal
import sys
import threading
import time

import flax.traverse_util
import jax
import numpy as np
import pytest
from PIL import Image

from launch import local
from ugf_jax.cli import app
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.training.checkpoints import restore_params, saved_arrays, steps

FLAGS = ["--config=a b.py", "--workdir=runs/x"]


def call(*argv):
    local.FLAGS.unparse_flags()
    for flag in local.FLAGS:
        local.FLAGS[flag].unparse()
    return app.call("local", local.__doc__, local.FLAGS, local.main, argv)


def test_dry_run_prints_commands_that_a_shell_understands(capsys, monkeypatch):
    monkeypatch.setattr(local, "free_port", lambda: 1234)
    assert call("--processes=2", "--devices=3", "--dry_run", "--", *FLAGS) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "'--config=a b.py'" in lines[0]
    for number, line in enumerate(lines):
        variables = ["JAX_PLATFORMS=cpu", "XLA_FLAGS=--xla_force_host_platform_device_count=3"]
        several = ["--coordinator=127.0.0.1:1234", "--num_processes=2", f"--process_id={number}"]
        assert shlex.split(line) == ["env", *variables, sys.executable, "-m", "ugf_jax.cli.train", *several, *FLAGS]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--processes=0", "--", *FLAGS], "--processes is 0; want at least 1"),
        (["--devices=-1", "--", *FLAGS], "--devices is -1; want at least 1"),
        (["--grace=-1", "--", *FLAGS], "--grace is -1.0; want at least 0 seconds"),
        (["--processes=two", "--", *FLAGS], "processes"),
        (["--processes=2"], "give the flags of ugf train after --"),
        (["--confg=x"], "confg"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(argv, words, capsys):
    assert call(*argv) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def shell(*scripts):
    return lambda processes, process, port: ["sh", "-c", scripts[process]]


@pytest.mark.parametrize(
    ("scripts", "code"),
    [
        (("exit 0", "exit 0"), 0),
        (("exit 3", "exit 3"), 3),
        (("exit 75", "sleep 0.3; exit 2"), 2),
        (("exit 75", "sleep 0.3; exit 75"), 75),
        (("exit 0", "kill -9 $$"), 75),
        (("exec sleep 60", "exit 2"), 2),
        (("exec sleep 60", "exit 4"), 4),  # the other was ended by the launcher, not preempted
        (("exec sleep 60", "kill -9 $$"), 75),
    ],
)
def test_exit_codes_and_nobody_is_left_waiting(scripts, code):
    before = time.monotonic()
    assert local.launch(2, 1, shell(*scripts), grace=5.0) == code
    assert time.monotonic() - before < 30


def test_what_was_stopped_starts_again_where_that_was_asked_for(tmp_path):
    stopped_twice = f"echo >> {tmp_path}/n; [ $(wc -l < {tmp_path}/n) -gt 2 ] || exit 75"
    assert local.launch(1, 1, shell(stopped_twice)) == 75
    assert local.launch(1, 1, shell(stopped_twice), max_restarts=0, pause=0) == 0
    assert len((tmp_path / "n").read_text()) == 3


def test_one_that_ignores_sigterm_is_killed_after_the_grace():
    assert local.launch(2, 1, shell("trap '' TERM; while :; do sleep 0.05; done", "sleep 0.2; exit 3"), grace=0.3) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_every_process(number, tmp_path):
    name = signal.Signals(number).name.removeprefix("SIG")
    script = f"trap 'exit 75' {name}; touch {tmp_path}/$0; while :; do sleep 0.05; done"

    def send():
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert local.launch(2, 1, lambda n, process, port: ["sh", "-c", script, str(process)]) == 75
    sender.join()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


def test_lines_of_the_others_begin_with_their_number(capfd):
    assert local.launch(2, 1, shell("echo zero", "echo one; echo two >&2; printf three")) == 0
    out, err = capfd.readouterr()
    assert out == "zero\n"
    assert err == "[1] one\n[1] two\n[1] three\n"


# A stage whose state says which images each step saw, row by row; its parameters are split over `fsdp`.
TOY = """
import os, sys
import jax, jax.numpy as jnp, numpy as np
from ugf_jax.cli import train
from ugf_jax.training import stages
from ugf_jax.training.image_data import ImageTrainSettings, image_source
from ugf_jax.training.stage import Stage

def level(batch):
    return batch["image"].astype(jnp.float32).mean(axis=(1, 2, 3)) / 255

def init(key, batch):
    return {"weight": jax.random.normal(key, (8, 3))}, {"seen": jnp.zeros((16, 8))}

def loss(params, state, batch, key, step):
    noise = 0.1 * jax.random.normal(key, (8, 3))
    value = jnp.mean((params["weight"].sum(0)[None] - level(batch)[:, None]) ** 2) + jnp.mean(params["weight"] * noise)
    sums = batch["image"].astype(jnp.float32).sum(axis=(1, 2, 3))
    return value, ({"seen": state["seen"].at[step % 16].set(sums)}, {"counts/rows": jnp.ones(8) * sums})

def evaluate(params, state, batch):
    return {"level": (level(batch), batch["mask"]), "one": (jnp.ones(batch["image"].shape[0]), batch["mask"])}

def sample(params, state, batch):
    return jnp.stack([batch["image"] / 127.5 - 1] * 2, axis=1)

def summarize(metrics):
    return {k: float(v) for k, v in metrics.items() if np.ndim(v) == 0}, {}

axes = ((r"weight", ("embed", None)), (r"seen", (None, None)))
stages.find = lambda name: stages.StageType(
    ImageTrainSettings, lambda settings: Stage("toy", init, loss, summarize, evaluate, sample, axes), image_source)
print("pid", os.getpid(), flush=True)
train.run()
"""

CONFIG = """
from ugf_jax.config import config_dict
from ugf_jax.training.{module} import {settings}

def get_config():
    config = config_dict({settings}())
    config.steps, config.log_every, config.checkpoint.every = 6, 2, 4
    config.mesh.data, config.mesh.fsdp = 2, 2
    config.data.datasets, config.data.scales = ({data!r},), ((64, 8),)
    config.data.max_stretch, config.data.max_crop, config.data.threads = 0.2, 0.1, 2
    config.optimizer.schedule, config.optimizer.ema_decay = "constant", 0.9
    config.evaluation.dataset, config.evaluation.limit, config.evaluation.every = {data!r}, 11, 6
    {model}
    return config
"""

TOKENIZER = """
    master, auxiliary = config.model.master, config.model.auxiliary
    master.size, master.patch = 32, 8
    for part in (master, auxiliary):
        part.width, part.depth, part.heads = 16, 2, 2
        part.quantizer.levels = (5, 5)
    auxiliary.window = 2
    config.objective.master.ms_ssim = config.objective.auxiliary.ms_ssim = 0.0
"""


@pytest.fixture(scope="module")
def images():
    """Image number i is brighter than those before it."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 7 * (i + 1), (64, 64, 3), np.uint8) for i in range(32)]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("launch")
    records = []
    for i, pixels in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        records.append(Record(key=f"{i:02d}", images=(file.getvalue(),), sizes=((64, 64),)))
    write_dataset(folder / "data", records)
    data = str(folder / "data")
    (folder / "toy.py").write_text(TOY)
    toy = {"module": "image_data", "settings": "ImageTrainSettings", "model": ""}
    tokenizer = {"module": "stages.tokenizer", "settings": "Settings", "model": TOKENIZER.strip()}
    (folder / "toy_config.py").write_text(CONFIG.format(data=data, **toy))
    (folder / "tokenizer_config.py").write_text(CONFIG.format(data=data, **tokenizer))
    return folder


def train(folder, stage, workdir, processes, devices, *more):
    """The exit code of a run; process 0's output goes to `capfd`."""

    def command(processes, process, port):
        several = [f"--config={folder / stage}_config.py", f"--workdir={workdir}", *more]
        program, *rest = local.train_command(processes, process, port, several)
        return [program, str(folder / "toy.py"), *rest[2:]] if stage == "toy" else [program, *rest]

    return local.launch(processes, devices, command)


def final_arrays(workdir):
    folder = pathlib.Path(workdir) / "checkpoints"
    wanted = {
        tuple(name.split("/")): jax.ShapeDtypeStruct(shape, dtype)
        for name, (dtype, shape) in saved_arrays(folder).items()
        if not dtype.startswith("key")
    }
    step, restored = restore_params(folder, flax.traverse_util.unflatten_dict(wanted))
    return step, {"/".join(k): np.asarray(v) for k, v in flax.traverse_util.flatten_dict(restored).items()}


def metric_lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(one, two):
    (step, alone), (also, together) = final_arrays(one), final_arrays(two)
    assert step == also == 6
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    for a, b in zip(metric_lines(one), metric_lines(two), strict=True):
        assert (a["step"], a["kind"]) == (b["step"], b["kind"])
        for name in {"loss", "level", "one", "psnr/full"} & a.keys():
            assert a[name] == pytest.approx(b[name], rel=1e-3), name
    assert [(line["step"], line["kind"]) for line in metric_lines(two)] == [
        *((s, "train") for s in (2, 4, 6)),
        (6, "validation"),
    ]
    (a,), (b,) = ([np.asarray(Image.open(p), int) for p in (w / "samples").iterdir()] for w in (one, two))
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= 1
    assert not list(two.glob(".*"))  # nothing half written
    return alone, together


@pytest.fixture(scope="module")
def toy_runs(folder):
    one, two = folder / "one", folder / "two"
    assert train(folder, "toy", one, 1, 4) == 0
    assert train(folder, "toy", two, 2, 2) == 0
    return one, two


def test_two_processes_train_like_one(toy_runs):
    alone, together = assert_same_run(*toy_runs)
    seen = together["model_state/seen"]
    np.testing.assert_array_equal(seen, alone["model_state/seen"])  # the same images in the same rows of every batch
    assert len(np.unique(seen[:4])) == 32  # an epoch: every image once


def test_evaluation_counts_each_item_once(toy_runs, images):
    values = metric_lines(toy_runs[1])[-1]
    assert values["one"] == 1.0
    assert values["level"] == pytest.approx(np.mean([np.mean(i) for i in images[:11]]) / 255, rel=1e-5)


@pytest.mark.slow
def test_two_processes_train_a_tokenizer_like_one(folder):
    one, two = folder / "tokenizer-one", folder / "tokenizer-two"
    assert train(folder, "tokenizer", one, 1, 4) == 0
    assert train(folder, "tokenizer", two, 2, 2) == 0
    assert_same_run(one, two)


@pytest.mark.slow
def test_sigterm_to_one_process_stops_both_and_one_process_goes_on(folder, tmp_path, capfd):
    said = []

    def send():
        while not (tmp_path / "metrics.jsonl").exists():
            time.sleep(0.05)
        said.append(capfd.readouterr())
        pid = next(line for line in said[0].err.splitlines() if line.startswith("[1] pid")).split()[-1]
        os.kill(int(pid), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    code = train(folder, "toy", tmp_path, 2, 2, "--config.steps=1000000", "--config.checkpoint.every=1000000")
    sender.join()
    err = capfd.readouterr().err
    assert code == 75, err
    (step,) = steps(tmp_path / "checkpoints")
    for prefix in ("", "[1] "):
        assert f"\n{prefix}ugf train: asked to stop; step {step} is saved" in "\n" + err
    assert train(folder, "toy", tmp_path, 1, 4, f"--config.steps={step + 2}") == 0
    assert f"resumed at step {step}" in capfd.readouterr().err
    assert max(steps(tmp_path / "checkpoints")) == step + 2
