"""Whole training runs of a toy stage."""

import dataclasses
import io
import json

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

from ugf_jax.data.buckets import assign, fit, make_buckets
from ugf_jax.data.image import decode
from ugf_jax.data.index import open_dataset
from ugf_jax.data.loader import DataSettings
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError, RetryError
from ugf_jax.training import trainer
from ugf_jax.training.checkpoints import Checkpointer, restore_params, saved_arrays
from ugf_jax.training.image_data import ImageTrainSettings, image_source
from ugf_jax.training.optimizer import OptimizerSettings
from ugf_jax.training.settings import CheckpointSettings, EvaluationSettings
from ugf_jax.training.sharding import MeshSettings
from ugf_jax.training.stage import Stage

SHAPES = [(64, 64), (64, 64), (48, 80), (80, 48)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rng = np.random.default_rng(0)
    records = []
    for i in range(64):
        height, width = SHAPES[i % len(SHAPES)]
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
        records.append(Record(key=f"{i:03d}", images=(file.getvalue(),), sizes=((height, width),), captions=("noise",)))
    folder = tmp_path_factory.mktemp("data") / "noise"
    write_dataset(folder, records, shards=2)
    return str(folder)


def toy_stage(poison_from=None):
    """Learns the mean colour of images, with a noisy gradient; from step `poison_from` on its loss is not a number."""

    def init(key, batch):
        return {"colour": jax.random.normal(key, (3,))}, {"seen": jnp.zeros(())}

    def loss(params, state, batch, key, step):
        colour = batch["image"].astype(jnp.float32).mean(axis=(1, 2)) / 255
        noise = 0.1 * jax.random.normal(key, (3,))
        value = jnp.mean((params["colour"] - colour + noise) ** 2)
        if poison_from is not None:
            value = jnp.where(step >= poison_from, jnp.nan, value)
        return value, ({"seen": state["seen"] + colour.shape[0]}, {"counts/images": jnp.ones(2), "error": value})

    def evaluate(params, state, batch):
        colour = batch["image"].astype(jnp.float32).mean(axis=(1, 2)) / 255
        error = jnp.mean((params["colour"] - colour) ** 2, axis=1)
        return {"error": (error, batch["mask"]), "one": (jnp.ones_like(error), batch["mask"])}

    def sample(params, state, batch):
        return jnp.stack([batch["image"] / 127.5 - 1] * 2, axis=1)

    def summarize(metrics):
        return {k: float(v) for k, v in metrics.items() if np.ndim(v) == 0}, {}

    return Stage("toy", init, loss, summarize, evaluate, sample, ((r"colour", (None,)), (r"seen", ())))


def make_settings(dataset, steps=12, **changes):
    settings = ImageTrainSettings(
        steps=steps,
        log_every=2,
        mesh=MeshSettings(data=4, fsdp=2, tensor=1),
        data=DataSettings(datasets=(dataset,), scales=((64, 8),), max_stretch=0.2, max_crop=0.1, threads=2),
        optimizer=OptimizerSettings(learning_rate=0.05, warmup_steps=2, schedule="constant", ema_decay=0.9),
        checkpoint=CheckpointSettings(every=4, keep=2),
        evaluation=EvaluationSettings(dataset=dataset, every=6, limit=20, batch_size=8, samples=4),
    )
    return dataclasses.replace(settings, **changes)


def run(settings, workdir, stage=None, **how):
    return trainer.train(settings, stage or toy_stage(), image_source(settings), epath.Path(workdir), **how)


def final_arrays(workdir, step):
    """Every array of a checkpoint but the random key, by path."""
    folder = workdir / "checkpoints"
    wanted = {
        tuple(name.split("/")): jax.ShapeDtypeStruct(shape, dtype)
        for name, (dtype, shape) in saved_arrays(folder, step).items()
        if not dtype.startswith("key")
    }
    _, restored = restore_params(folder, flax.traverse_util.unflatten_dict(wanted), step)
    return {"/".join(k): np.asarray(v) for k, v in flax.traverse_util.flatten_dict(restored).items()}


def assert_same_state(a, b, step):
    a, b = final_arrays(a, step), final_arrays(b, step)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def metric_lines(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k in ("step", "kind", "loss", "error", "one")} for line in lines]


@pytest.fixture(scope="module")
def uninterrupted(dataset, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    return workdir, run(make_settings(dataset), workdir)


def test_a_run_learns_and_leaves_what_it_promises(uninterrupted):
    workdir, summary = uninterrupted
    assert summary["steps"] == 12
    assert summary["skipped_updates"] == 0
    lines = metric_lines(workdir)
    train = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in train] == [2, 4, 6, 8, 10, 12]
    assert train[-1]["loss"] < train[0]["loss"]
    assert [line["step"] for line in lines if line["kind"] == "validation"] == [6, 12]
    assert sorted(p.name for p in (workdir / "samples").iterdir()) == [
        "reconstruction-00000006.png",
        "reconstruction-00000012.png",
    ]
    assert Checkpointer(workdir / "checkpoints").steps() == [8, 12]


def test_evaluation_counts_each_item_once(uninterrupted, dataset):
    # 20 images in three buckets and batches of 8: every bucket's last batch is padded.
    workdir, summary = uninterrupted
    colour = final_arrays(workdir, 12)["ema/colour"]
    dataset, settings = open_dataset(dataset), make_settings(dataset)
    errors = []
    for row in range(20):
        image = decode(dataset.image(row))
        number = assign(*(np.array([s]) for s in image.shape[:2]), make_buckets(settings.data.bucket_settings), settings.data)[
            0
        ]
        fitted = fit(image, make_buckets(settings.data.bucket_settings)[number], settings.data)
        errors.append(np.mean((colour - fitted.mean(axis=(0, 1)) / 255) ** 2))
    assert summary["validation"]["error"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert summary["validation"]["one"] == pytest.approx(1.0)


def test_a_finished_run_is_not_trained_again(uninterrupted, dataset):
    workdir, _ = uninterrupted
    before = final_arrays(workdir, 12)
    assert run(make_settings(dataset), workdir) is None
    for name, value in final_arrays(workdir, 12).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("stop_at", [3, 4, 9])
def test_preempted_and_resumed_is_bit_identical(stop_at, dataset, uninterrupted, tmp_path, monkeypatch):
    whole, _ = uninterrupted
    real = trainer.Preemption.requested
    monkeypatch.setattr(trainer.Preemption, "requested", lambda self, step: step == stop_at or real(self, step))
    with pytest.raises(RetryError, match=f"step {stop_at} is saved"):
        run(make_settings(dataset), tmp_path)
    monkeypatch.undo()
    run(make_settings(dataset), tmp_path)
    assert_same_state(tmp_path, whole, 12)
    # A log window that was cut in two is averaged over what came after the resume; the last two lines are always whole.
    assert metric_lines(tmp_path)[-2:] == metric_lines(whole)[-2:]


def test_longer_runs_continue_a_finished_one(dataset, tmp_path):
    run(make_settings(dataset, steps=4), tmp_path)
    assert run(make_settings(dataset, steps=6), tmp_path)["steps"] == 6


def test_another_config_is_refused_and_named(uninterrupted, dataset):
    workdir, _ = uninterrupted
    other = make_settings(dataset, optimizer=OptimizerSettings(learning_rate=0.01))
    before = (workdir / "config.json").read_text()
    with pytest.raises(InputError, match=r"another config: optimizer\.learning_rate: 0\.05 -> 0\.01"):
        run(other, workdir)
    assert (workdir / "config.json").read_text() == before


def test_other_data_are_refused_unless_allowed(uninterrupted, dataset):
    workdir, _ = uninterrupted
    settings = make_settings(dataset)
    other = dataclasses.replace(settings, data=dataclasses.replace(settings.data, seed=1), steps=13)
    with pytest.raises(InputError, match=r"other data: seed: 0 -> 1; use another --workdir or --allow_data_change"):
        run(other, workdir)


def test_resume_takes_over_a_run_and_init_from_its_parameters(uninterrupted, dataset, tmp_path):
    workdir, _ = uninterrupted
    resumed = run(make_settings(dataset, steps=13, resume=str(workdir)), tmp_path / "resumed")
    assert resumed["steps"] == 13
    assert Checkpointer(tmp_path / "resumed" / "checkpoints").steps() == [13]
    run(make_settings(dataset, steps=1, init_from=str(workdir)), tmp_path / "fine")
    start, fine = final_arrays(workdir, 12), final_arrays(tmp_path / "fine", 1)
    assert fine["step"] == 1
    np.testing.assert_allclose(fine["params/colour"], start["ema/colour"], atol=0.06)  # one update away


def test_parameters_that_were_found_stand_over_fresh_ones():
    fresh = {"memory": {"kernel": 0, "new": 0}, "layers": {"cross": 0, "mlp": 0}}
    assert trainer.over(fresh, {"layers": {"mlp": 1}}) == {**fresh, "layers": {"cross": 0, "mlp": 1}}


def test_missing_sources_are_named(dataset, tmp_path):
    with pytest.raises(InputError, match=r"config\.init_from: /nowhere is not the workdir of a run"):
        run(make_settings(dataset, init_from="/nowhere"), tmp_path)


def test_bad_updates_are_skipped_then_end_the_run_with_a_bundle(dataset, tmp_path):
    settings = make_settings(dataset, steps=50, max_bad_steps=3)
    with pytest.raises(InputError, match="not finite for 3 updates in a row at step 9") as caught:
        run(settings, tmp_path, toy_stage(poison_from=6))
    bundle = json.loads((tmp_path / "diagnostics" / "step-9.json").read_text())
    assert len(bundle["rows"]) == 8
    assert "learning_rate" in str(caught.value)
    saved = Checkpointer(tmp_path / "checkpoints").steps()
    assert saved == [4, 8]
    for value in final_arrays(tmp_path, 8).values():
        assert np.isfinite(value).all()


def test_batch_sizes_must_fill_the_devices(dataset, tmp_path):
    settings = make_settings(dataset, mesh=MeshSettings(data=8))
    settings = dataclasses.replace(settings, data=dataclasses.replace(settings.data, scales=((64, 4),)))
    with pytest.raises(InputError, match=r"batch size 4 \(batches of \d+x\d+\) must be a multiple of 8 devices"):
        run(settings, tmp_path)
