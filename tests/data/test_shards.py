"""Files are written whole or not at all, and say truly what they hold."""

import hashlib
import os
import resource

import numpy as np
import pyarrow as pa
import pytest

from ugf_jax.data import index, shards
from ugf_jax.data.records import Record
from ugf_jax.errors import InputError


def test_a_failed_write_leaves_nothing(tmp_path):
    def records():
        yield b"one"
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        shards.write_array_record(tmp_path / "x.array_record", records())
    assert not list(tmp_path.iterdir())


def write_much(path):
    shards.write_array_record(path, [bytes(2**20)] * 3)


def write_little(path):
    shards.write_text(path, "x" * 3 * 2**20)


def write_rows(path):
    shards.write_index(path, [shards.rows_table([("k" * 1000, 0, 1, 1, 0, 0, 0, 0)] * 3000)])


@pytest.mark.parametrize("write", [write_much, write_little, write_rows])
def test_a_full_disk_is_one_clear_line(tmp_path, write):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))  # like a full disk, for files over 1 MiB
    try:
        with pytest.raises(InputError, match=r"x\.file: cannot be written \(.*File too large.*\); mend that"):
            write(tmp_path / "x.file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_an_index_of_many_batches_is_regrouped(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_BATCH", 10)
    rows = [(f"k{i}", 0, i, 2 * i, 0, i, 0, 0) for i in range(37)]
    batches = [shards.rows_table(rows[i : i + 7]) for i in range(0, 37, 7)] + [shards.rows_table([])]
    assert shards.write_index(tmp_path / "index.arrow", batches) == 37
    with pa.memory_map(os.fspath(tmp_path / "index.arrow")) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
    assert [len(c) for c in table.column("key").chunks] == [10, 10, 10, 7]
    assert [tuple(r.values()) for r in table.to_pylist()] == rows


def test_histogram_counts_every_image_once():
    heights, widths = (
        np.array(x, np.uint32) for x in zip((1, 1), (64, 64), (65, 64), (10, 200), (200, 10), (0, 0), (300, 100), strict=True)
    )
    found = shards.size_histogram(heights, widths)
    assert found["long_side"] == {"1": 1, "64": 1, "128": 1, "256": 2, "512": 1}
    aspect = {k: n for k, n in found["aspect"].items() if n}
    assert aspect == {"4:5 … 5:4": 3, "≥ 4:1": 1, "< 1:4": 1, "1:3": 1}


def test_manifest_describes_the_files(tmp_path):
    data = shards.write_dataset(tmp_path, [Record(f"k{i}", (b"x" * i,), ((i + 1, 2),)) for i in range(5)], 2)
    for entry in (*data.manifest["shards"], data.manifest["index"]):
        content = (tmp_path / entry["name"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
    assert data.manifest["records"] == data.manifest["images"] == 5
    assert (data.manifest["format"], data.manifest["version"]) == (index.FORMAT, index.VERSION)
    assert not list(tmp_path.glob(".*"))


def test_versions_name_what_can_change_the_bytes():
    assert {"python", "array-record", "pillow", "simplejpeg"} <= shards.versions().keys()
