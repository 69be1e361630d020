"""Datasets in an object store read like those on a disk. ArrayRecord itself asks a network, so its files are handed to it."""

import itertools

import numpy as np
import pytest
from array_record.python import array_record_module
from etils import epath
from PIL import Image

from ugf_jax.data import stores
from ugf_jax.data.index import open_dataset, open_datasets
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.data.text import SHIPPED, TextTokenizer
from ugf_jax.errors import InputError


@pytest.fixture
def store(bucket, tmp_path, monkeypatch):
    """The bucket, with an ArrayRecord reader that fetches its files; `tmp_path/N` is a name without a meaning."""
    make, copies = array_record_module.ArrayRecordReader, itertools.count()

    def reader(filename, *args, **kwargs):
        if filename.startswith("gs:"):
            (local := tmp_path / str(next(copies))).write_bytes(epath.Path(filename).read_bytes())
            filename = str(local)
        return make(filename, *args, **kwargs)

    monkeypatch.setattr(array_record_module, "ArrayRecordReader", reader)
    return bucket


@pytest.fixture
def both(store, tmp_path):
    """The same dataset on a disk and in a store."""
    records = [Record(key=f"{i:02d}", captions=(f"caption {i}",), images=(b"image",), sizes=((i + 1, 7),)) for i in range(10)]
    here = write_dataset(tmp_path / "data", records, shards=3)
    for file in (tmp_path / "data").iterdir():
        (epath.Path(store) / "data" / file.name).write_bytes(file.read_bytes())
    return here, f"{store}/data"


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


@pytest.fixture
def pictures(tmp_path):
    """A folder of images, one of them none."""
    rng, folder = np.random.default_rng(0), tmp_path / "pictures"
    folder.mkdir()
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), np.uint8)).save(folder / f"{i}.png")
    (folder / "bad.png").write_text("no picture")
    return folder


def test_preparing_into_a_store_writes_the_same_bytes(store, pictures, tmp_path, monkeypatch, capsys):
    from ugf_jax.cli import app, prepare

    def run(out, *more):
        prepare.FLAGS.unparse_flags()
        argv = [str(pictures), out, "--workers=1", "--shards=2", "--quarantine_limit=1", *more]
        return app.call("prepare", prepare.__doc__, prepare.FLAGS, prepare.main, argv)

    assert run(str(tmp_path / "out")) == run(f"{store}/out") == 0
    here, there = (
        {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "results.json"}
        for folder in (tmp_path / "out", epath.Path(store) / "out")
    )
    assert there == here
    assert len(here) == 6
    capsys.readouterr()
    assert run(f"{store}/out") == 0
    assert "complete, nothing to do" in capsys.readouterr().out

    def refuse(file, path):
        raise OSError(28, "no room in the store")

    monkeypatch.setattr(stores, "send", refuse)
    assert run(f"{store}/broken") == 2
    assert "gs://ours/broken/.work/request.json: cannot be written" in capsys.readouterr().err


def test_what_could_not_be_sent_whole_is_not_there(store, tmp_path):
    path = stores.as_path(f"{store}/a")
    with pytest.raises(FileNotFoundError):
        stores.send(tmp_path / "none", path)
    assert not path.exists()
    (tmp_path / "a").write_bytes(b"abc")
    stores.send(tmp_path / "a", path)
    assert path.read_bytes() == b"abc"
