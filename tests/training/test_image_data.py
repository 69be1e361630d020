"""The data of stages that learn from pixels, as the trainer asks for it."""

import io

import numpy as np
import pytest
from PIL import Image

from ugf_jax.data.loader import DataSettings
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.training.image_data import ImageTrainSettings, image_source
from ugf_jax.training.settings import EvaluationSettings


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    records = []
    for i in range(10):
        file = io.BytesIO()
        Image.fromarray(np.full((32, 32, 3), 20 * i, np.uint8)).save(file, "PNG")
        records.append(Record(key=f"{i:02d}", images=(file.getvalue(),), sizes=((32, 32),)))
    folder = str(tmp_path_factory.mktemp("data") / "flat")
    write_dataset(folder, records)
    return image_source(
        ImageTrainSettings(
            data=DataSettings(datasets=(folder,), scales=((32, 4),), max_aspect=1.0),
            evaluation=EvaluationSettings(dataset=folder, limit=6, batch_size=4),
        )
    )


def test_specs_describe_the_batches_of_all_hosts_together(source):
    loader = source.open(0, 2)
    batch = next(loader.iterate(3))
    for name, (shape, dtype) in loader.specs(batch.bucket).items():
        assert batch.arrays[name].dtype == dtype
        assert (2 * len(batch.arrays[name]), *batch.arrays[name].shape[1:]) == shape
    assert source.count(batch.arrays) == {"images": 2}


def test_held_out_batches_hold_each_item_once(source):
    batches = list(source.held_out(0, 1))
    assert all(set(batch.arrays) == {"image", "mask"} for batch in batches)
    values = np.concatenate([b.arrays["image"][b.arrays["mask"]][:, 0, 0, 0] for b in batches])
    assert sorted(values.tolist()) == [20 * i for i in range(6)]


def test_without_a_dataset_nothing_is_held_out():
    assert list(image_source(ImageTrainSettings()).held_out(0, 1)) == []
