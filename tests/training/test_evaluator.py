"""Evaluation while training: which state is measured, and how the sample grid is laid out."""

import io
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ugf_jax.data.loader import DataSettings
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError
from ugf_jax.training import sharding
from ugf_jax.training.evaluator import Evaluator
from ugf_jax.training.image_data import ImageTrainSettings, image_source
from ugf_jax.training.settings import EvaluationSettings
from ugf_jax.training.sharding import MeshSettings

SHAPES = [(32, 64), (64, 32), (48, 48)]  # each a bucket of its own
GAP = 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve flat pictures; number i has the value 10 i."""
    records = []
    for i in range(12):
        file, (height, width) = io.BytesIO(), SHAPES[i % 3]
        Image.fromarray(np.full((height, width, 3), 10 * i, np.uint8)).save(file, "PNG")
        records.append(Record(key=f"{i:02d}", images=(file.getvalue(),), sizes=((height, width),)))
    folder = tmp_path_factory.mktemp("data") / "flat"
    write_dataset(folder, records)
    return str(folder)


def evaluate(params, state, batch):
    return {"grey": (batch["image"].astype(jnp.float32).mean(axis=(1, 2, 3)) + params["offset"], batch["mask"])}


def sample(params, state, batch):
    """The image and its negative."""
    image = batch["image"] / 127.5 - 1
    return jnp.stack([image, -image], axis=1)


class Log:
    def __init__(self):
        self.values, self.pictures = [], []

    def write(self, step, kind, values):
        self.values.append((step, kind, values))

    def images(self, step, name, pixels):
        self.pictures.append((step, name, pixels))


def make(folder, tmp_path, stage_sample=sample, **evaluation):
    settings = ImageTrainSettings(
        data=DataSettings(scales=((48, 8),), max_aspect=2.0, max_stretch=0.3, max_crop=0.2),
        evaluation=EvaluationSettings(**{"dataset": folder, "limit": 12, "batch_size": 8, "samples": 5, **evaluation}),
    )
    stage = types.SimpleNamespace(evaluate=evaluate, sample=stage_sample, derive=None, advance=None)
    batches = image_source(settings).held_out(0, 1)
    return Evaluator(settings, stage, batches, sharding.make_mesh(MeshSettings()), Log())


def state(offset=0.0, ema=None):
    average = {} if ema is None else {"offset": jnp.float32(ema)}
    return types.SimpleNamespace(params={"offset": jnp.float32(offset)}, ema=average, model_state={})


def run(evaluator, state, step=3):
    with jax.set_mesh(evaluator.mesh):
        evaluator.run(step, state)
    return evaluator


def test_every_image_counts_once_though_batches_are_filled_up(dataset, tmp_path):
    evaluator = run(make(dataset, tmp_path), state())
    assert len(evaluator.batches) > 1
    assert evaluator.latest["grey"] == pytest.approx(np.mean(10.0 * np.arange(12)), rel=1e-6)
    assert evaluator.log.values == [(3, "validation", evaluator.latest)]
    fewer = run(make(dataset, tmp_path, limit=5, samples=0), state())
    assert fewer.latest["grey"] == pytest.approx(20.0, rel=1e-6)


def test_the_average_is_measured_where_there_is_one(dataset, tmp_path):
    evaluator = make(dataset, tmp_path, samples=0)
    base = run(evaluator, state()).latest["grey"]
    assert run(evaluator, state(offset=1.0)).latest["grey"] == pytest.approx(base + 1)
    assert run(evaluator, state(offset=1.0, ema=7.0)).latest["grey"] == pytest.approx(base + 7)


def test_the_grid_shows_rows_of_several_buckets_apart_by_white(dataset, tmp_path):
    evaluator = run(make(dataset, tmp_path), state())
    (step, name, grid), *others = evaluator.log.pictures
    assert (step, name, others, grid.dtype) == (3, "reconstruction", [], np.uint8)
    per_batch = -(-5 // len(evaluator.batches))
    shown = [image for batch in evaluator.batches for image in batch.arrays["image"][:per_batch]]
    assert grid.shape[1] == max(2 * (image.shape[1] + GAP) for image in shown)
    top = 0
    for image in shown:
        if top == grid.shape[0]:
            break
        height, width = image.shape[:2]
        row = grid[top : top + height]
        np.testing.assert_array_equal(row[:, :width], image)
        np.testing.assert_array_equal(row[:, width + GAP : 2 * width + GAP], 255 - image)
        assert (row[:, width : width + GAP] == 255).all()
        assert (row[:, 2 * width + GAP :] == 255).all()
        assert (grid[top + height : top + height + GAP] == 255).all()
        top += height + GAP
    assert top == grid.shape[0]
    assert len({image.shape for image in shown}) > 1


def test_nothing_is_drawn_or_measured_where_it_is_not_wanted(dataset, tmp_path):
    assert run(make(dataset, tmp_path, samples=0), state()).log.pictures == []
    assert run(make(dataset, tmp_path, stage_sample=None), state()).log.pictures == []
    idle = run(make("", tmp_path), state())
    assert (idle.log.values, idle.latest) == ([], {})


def test_a_folder_that_is_no_dataset_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="nothing"):
        make(str(tmp_path / "nothing"), tmp_path)
