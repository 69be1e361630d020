"""Datasets in an object store read like those on a disk. ArrayRecord itself asks a network, so its files are handed to it."""

import numpy as np
import pytest
from array_record.python import array_record_data_source
from etils import epath

from ugf_jax.data import stores
from ugf_jax.data.index import open_dataset, open_datasets
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.data.text import SHIPPED, TextTokenizer
from ugf_jax.errors import InputError


@pytest.fixture
def both(bucket, tmp_path, monkeypatch):
    """The same dataset on a disk and in a store."""
    records = [Record(key=f"{i:02d}", captions=(f"caption {i}",), images=(b"image",), sizes=((i + 1, 7),)) for i in range(10)]
    here = write_dataset(tmp_path / "data", records, shards=3)
    for file in (tmp_path / "data").iterdir():
        (epath.Path(bucket) / "data" / file.name).write_bytes(file.read_bytes())
    make = array_record_data_source._create_reader

    def reader(filename, options):  # a path that lost its second slash would be found nowhere
        local = filename.replace(f"{bucket}/data", str(tmp_path / "data"))
        return make(local, options)

    monkeypatch.setattr(array_record_data_source, "_create_reader", reader)
    return here, f"{bucket}/data"


def test_a_dataset_in_a_store_is_the_same_dataset(both):
    here, place = both
    there = open_dataset(place)
    assert str(there.folder) == place
    assert there.fingerprint == here.fingerprint
    assert there.table.equals(here.table)
    assert [there.read(row) for row in range(len(there))] == [here.read(row) for row in range(len(here))]
    assert [there.lengths(n) for n in range(10)] == [here.lengths(n) for n in range(10)]
    there.verify()


def test_what_is_wrong_in_a_store_is_named(both, bucket):
    _, place = both
    folder = epath.Path(place)
    content = (folder / "index.arrow").read_bytes()
    (folder / "index.arrow").write_bytes(content[:-1])
    with pytest.raises(InputError, match=rf"gs://ours/data/index.arrow: {len(content) - 1} bytes, want {len(content)}"):
        open_dataset(place)
    (folder / "index.arrow").unlink()
    with pytest.raises(InputError, match=r"gs://ours/data/index\.arrow: missing"):
        open_dataset(place)
    with pytest.raises(InputError, match=r"config.data.datasets\[0\]: gs://ours/nothing: no such folder"):
        open_datasets([f"{bucket}/nothing"], "config.data.datasets")
    with pytest.raises(InputError, match="holds several datasets; name one of them: gs://ours/data"):
        open_dataset(bucket)


def test_a_flipped_byte_in_a_store_is_found(both):
    _, place = both
    path = epath.Path(place) / "shard-00001-of-00003.array_record"
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[-1] ^= 1
    path.write_bytes(content.tobytes())
    with pytest.raises(InputError, match="array_record: content changed"):
        open_dataset(place).verify()


def test_a_text_tokenizer_may_lie_in_a_store(bucket):
    (epath.Path(bucket) / "text" / "tokenizer.json").write_bytes(SHIPPED.read_bytes())
    assert TextTokenizer.load(f"{bucket}/text/tokenizer.json").digest == TextTokenizer.load().digest
    with pytest.raises(InputError, match=r"gs://ours/text/none\.json: cannot be read"):
        TextTokenizer.load(f"{bucket}/text/none.json")


def test_sizes(bucket, tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (epath.Path(bucket) / "a").write_bytes(b"abcd")
    assert stores.size(tmp_path / "a") == 3
    assert stores.size(stores.as_path(f"{bucket}/a")) == 4
    assert stores.size(tmp_path / "b") is None
    assert stores.size(stores.as_path(f"{bucket}/b")) is None
