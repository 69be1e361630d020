"""A prepared dataset gives back what was put in, knows sizes without reading, and refuses to open when damaged."""

import json
import threading

import numpy as np
import pytest

from ugf_jax.data.index import open_dataset
from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError


def some_records(count=23):
    """One image, two images, none: in turn."""
    records = []
    for i in range(count):
        images = tuple(bytes([i, n]) * 50 for n in range((1, 2, 0)[i % 3]))
        sizes = tuple((10 + i, 20 + n) for n in range(len(images)))
        records.append(Record(f"key/{i}", images, sizes, (f"caption ü {i}",)))
    return records


def rows_of(records):
    return [(r, n) for r in records for n in range(max(len(r.images), 1))]


@pytest.mark.parametrize("shards", [1, 4])
def test_every_row_finds_its_record_and_image(tmp_path, shards):
    records = some_records()
    data = write_dataset(tmp_path / "d", records, shards)
    rows = rows_of(records)
    assert data.num_rows == len(rows)
    assert data.num_records == len(records)
    assert list(data.records()) == records
    for row, (record, number) in enumerate(rows):
        assert data.key(row) == record.key
        assert data.read(row) == record
        size = record.sizes[number] if record.images else (0, 0)
        assert (data.heights[row], data.widths[row]) == size
        if record.images:
            assert data.image(row) == record.images[number]
    order = np.random.default_rng(0).permutation(len(rows))
    assert data.read_many(order) == [rows[i][0] for i in order]
    assert data.read_many([]) == []


def test_sizes_come_in_chunks_that_cover_all_rows(tmp_path):
    data = write_dataset(tmp_path / "d", some_records())
    starts, heights, widths = zip(*data.size_chunks(), strict=True)
    np.testing.assert_array_equal(np.concatenate(heights), data.heights)
    np.testing.assert_array_equal(np.concatenate(widths), data.widths)
    assert starts[0] == 0


def test_lengths_of_text_and_codes(tmp_path):
    kept = np.array([[True, False], [True, True]])
    codes = ImageCodes(np.zeros((4, 4), np.uint16), (np.zeros((2, 2, 3), np.uint16),), (kept,), (32, 32))
    record = Record("a", (b"1",), ((5, 6),), ("né",), ({"from": "human", "value": "<|image|>hello"},), codes=(codes,))
    data = write_dataset(tmp_path / "d", [record, Record("b", (b"2",), ((5, 6),))])
    assert data.column("text_length").tolist() == [3 + 14, 0]
    assert data.column("code_length").tolist() == [16 + 3 * 3, 0]


def test_reading_from_many_threads(tmp_path):
    records = some_records(60)
    data = write_dataset(tmp_path / "d", records, 3)
    rows = rows_of(records)
    wrong = []

    def read(start):
        wrong.extend(i for i in range(start, len(rows), 5) if data.read(i) != rows[i][0])

    threads = [threading.Thread(target=read, args=(i % 5,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_fingerprint_is_that_of_the_content(tmp_path):
    records = some_records()
    first, again = (write_dataset(tmp_path / name, records, 2).fingerprint for name in "ab")
    assert first == again
    assert first != write_dataset(tmp_path / "c", records[::-1], 2).fingerprint


def test_a_row_without_image_has_none(tmp_path):
    data = write_dataset(tmp_path / "d", [Record("only text", captions=("x",))])
    with pytest.raises(InputError, match="only text"):
        data.image(0)


def test_verify_finds_one_changed_bit(tmp_path):
    data = write_dataset(tmp_path / "d", some_records(), 2)
    data.verify()
    path = tmp_path / "d" / "shard-00001-of-00002.array_record"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="shard-00001"):
        open_dataset(tmp_path / "d").verify()


@pytest.mark.parametrize("name", ["shard-00000-of-00001.array_record", "index.arrow"])
def test_missing_or_cut_files_are_named(tmp_path, name):
    write_dataset(tmp_path / "d", some_records())
    path = tmp_path / "d" / name
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=f"{name}: .* bytes, want"):
        open_dataset(tmp_path / "d")
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        open_dataset(tmp_path / "d")


def test_what_is_no_dataset_is_refused_with_advice(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        open_dataset(tmp_path)
    write_dataset(tmp_path / "train", some_records())
    with pytest.raises(InputError, match=f"several datasets; name one of them: {tmp_path}/train"):
        open_dataset(tmp_path)
    manifest = tmp_path / "train" / "manifest.json"
    good = json.loads(manifest.read_text())
    for bad, words in (("{", "cannot be read"), ("[]", "not the manifest"), (json.dumps(good | {"version": 99}), "version 99")):
        manifest.write_text(bad)
        with pytest.raises(InputError, match=words):
            open_dataset(tmp_path / "train")


def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path):
    write_dataset(tmp_path / "d", some_records())
    manifest = tmp_path / "d" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["shards"][0]["name"] = "../elsewhere"
    manifest.write_text(json.dumps(content))
    with pytest.raises(InputError, match="not a plain file name"):
        open_dataset(tmp_path / "d")
