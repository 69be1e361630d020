"""TFDS datasets stored as ArrayRecord come in without TensorFlow, with the bytes that they were made from."""

import io
import json
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ugf_jax.data.sources import base
from ugf_jax.data.sources.tfds import TfdsSource, find, split_names
from ugf_jax.errors import InputError


class Tiny(tfds.core.GeneratorBasedBuilder):
    """Images are opaque bytes here: nothing may decode them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(),
            "caption": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            "image/id": tfds.features.Scalar(np.int64),
            "objects": tfds.features.Sequence({"size": tfds.features.Scalar(np.float32)}),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(5), "test": self._generate_examples(2)}

    def _generate_examples(self, count):
        for i in range(count):
            image = io.BytesIO(b"\x89PNG not really %d" % i)
            yield (
                i,
                {
                    "image": image,
                    "caption": f" number\n {i}",
                    "label": i % 2,
                    "image/id": 100 + i,
                    "objects": [{"size": 0.5}] * i,
                },
            )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    Tiny(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def test_every_example_of_a_split(data_dir, monkeypatch):
    monkeypatch.setattr(base, "EXAMPLES_PER_UNIT", 2)
    source = TfdsSource(data_dir / "tiny" / "1.0.0", "train")
    units = source.units()
    assert [u.count for u in units] == [2, 2, 1]
    found = sorted((e for u in units for e in source.examples(u)), key=lambda e: e.key)
    assert [e.key for e in found] == [str(100 + i) for i in range(5)]
    assert [e.images for e in found] == [(b"\x89PNG not really %d" % i,) for i in range(5)]
    assert found[3].captions == ("number 3",)
    assert found[3].meta == {"label": 1, "label_name": "dog", "objects": {"size": [0.5] * 3}}
    assert "tensorflow" not in sys.modules


def test_names_and_folders_lead_to_the_newest_version(data_dir, tmp_path):
    wanted = data_dir / "tiny" / "1.0.0"
    assert (
        find("tiny", str(data_dir))
        == find("tiny:1.0.0", str(data_dir))
        == find(str(data_dir / "tiny"), None)
        == find(str(wanted), None)
        == wanted
    )
    assert find("huge", str(data_dir)) is None
    for version in ("9.0.0", "10.0.0"):
        (tmp_path / "x" / version).mkdir(parents=True)
        for name in ("dataset_info.json", "features.json"):
            (tmp_path / "x" / version / name).write_text("{}")
    assert find("x", str(tmp_path)) == tmp_path / "x" / "10.0.0"
    (tmp_path / "y").symlink_to(tmp_path / "x")
    with pytest.raises(InputError, match="holds several datasets; name one"):
        find(str(tmp_path), None)


def test_splits_and_formats(data_dir, tmp_path):
    assert sorted(split_names(data_dir / "tiny" / "1.0.0")) == ["test", "train"]
    info = tmp_path / "dataset_info.json"
    info.write_text(json.dumps({"splits": [{"name": "train"}], "fileFormat": "tfrecord"}))
    with pytest.raises(InputError, match="stored as tfrecord"):
        split_names(tmp_path)
    info.write_text("{}")
    with pytest.raises(InputError, match="not the description"):
        split_names(tmp_path)
