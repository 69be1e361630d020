"""Parquet with images in structs, lists of structs or plain bytes, read by row groups."""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ugf_jax.data.sources import base
from ugf_jax.data.sources.parquet import ParquetSource, splits
from ugf_jax.errors import InputError


def read(*paths):
    source = ParquetSource(paths)
    return [e for unit in source.units() for e in source.examples(unit)]


def write(path, rows, **options):
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def image(data, path=None):
    return {"bytes": data, "path": path}


def test_columns_are_told_by_their_form(tmp_path):
    rows = [
        {"image": image(b"A", "dir/a.png"), "caption": "x  y", "score": 0.5},
        {"image": image(b"B", None), "caption": "z", "score": None},
    ]
    found = read(write(tmp_path / "f.parquet", rows))
    assert [e.key for e in found] == ["dir/a", "f/000000001"]
    assert found[0].captions == ("x y",)
    assert found[0].meta == {"score": 0.5}
    lists = read(write(tmp_path / "l.parquet", [{"images": [image(b"A"), image(b"B")], "id": 3}]))
    assert (lists[0].images, lists[0].key, lists[0].meta) == ((b"A", b"B"), "3", {})
    plain = read(write(tmp_path / "p.parquet", [{"jpg": b"A", "key": "k", "captions": ["a", "b"]}]))
    assert (plain[0].images, plain[0].captions) == ((b"A",), ("a", "b"))


def test_rows_without_bytes_are_refused(tmp_path):
    found = read(write(tmp_path / "f.parquet", [{"image": image(None, "/far/a.png")}, {"image": None}, {"image": image(b"x")}]))
    assert [getattr(e.images[0], "reason", "") for e in found] == ["missing file", "missing file", ""]


def test_row_groups_make_units_that_cover_every_row_once(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "EXAMPLES_PER_UNIT", 10)
    rows = [{"image": image(bytes([i]))} for i in range(47)]
    source = ParquetSource((write(tmp_path / "f.parquet", rows, row_group_size=4),))
    units = source.units()
    assert [u.count for u in units] == [12, 12, 12, 11]
    found = [e for u in units for e in source.examples(u)]
    assert [e.images[0][0] for e in found] == list(range(47))
    assert found[30].key == "f/000000030"


def test_hub_names_are_splits():
    names = [
        pathlib.Path(n)
        for n in ("test-00000-of-00001.parquet", "train-00000-of-00002.parquet", "train-00001-of-00002-1a2b.parquet")
    ]
    assert splits(names) == {"test": (names[0],), "train": (names[1], names[2])}
    assert splits(names[1:]) == {"": tuple(names[1:])}
    assert splits([pathlib.Path("a.parquet"), pathlib.Path("b.parquet")]).keys() == {""}


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "no.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"no\.parquet: not a Parquet file"):
        read(tmp_path / "no.parquet")
    with pytest.raises(InputError, match=r"no column of images .* columns: a, b"):
        read(write(tmp_path / "t.parquet", [{"a": 1, "b": "x"}]))
    pq.write_table(pa.Table.from_pylist([{"image": image(b"A")}]).slice(0, 0), tmp_path / "e.parquet")
    with pytest.raises(InputError, match="no rows"):
        read(tmp_path / "e.parquet")


def test_a_file_damaged_inside_is_named(tmp_path):
    path = write(tmp_path / "f.parquet", [{"image": image(bytes(range(256)) * 20)} for _ in range(50)], compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:80] = bytes(76)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"f\.parquet: (damaged|not a) Parquet"):
        read(path)
