"""Shards hold the records of all parts in order, once each, under keys that differ."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data import assemble
from ugf_jax.data import shards as shards_module
from ugf_jax.data.index import open_dataset
from ugf_jax.data.parts import Part, records_path
from ugf_jax.data.recipes import lengths_of
from ugf_jax.data.records import Record, pack
from ugf_jax.data.shards import write_array_record
from ugf_jax.data.text import TextTokenizer


def parts_of(lengths, size=100):
    return [Part(n, keys=[f"{n}/{i}" for i in range(k)], size=size * k) for n, k in enumerate(lengths)]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(sum), st.integers(0, 12))
def test_shards_cover_every_record_once_in_order(lengths, wanted):
    tasks = assemble.plan_shards(parts_of(lengths), wanted)
    records = [(part, i) for task in tasks for part, first, end in task.pieces for i in range(first, end)]
    assert records == [(n, i) for n, k in enumerate(lengths) for i in range(k)]
    sizes = [sum(end - first for _, first, end in task.pieces) for task in tasks]
    assert max(sizes) - min(sizes) <= 1
    assert len(tasks) == (min(wanted, sum(lengths)) or 1)
    assert [t.number for t in tasks] == list(range(len(tasks)))


def test_shards_of_a_size_by_default():
    assert len(assemble.plan_shards(parts_of([30], assemble.SHARD_BYTES // 10), 0)) == 3


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["a", "b", "a~2", "a~3", "b~2"]), max_size=12))
def test_keys_become_different_and_the_first_keeps_its_own(keys):
    renamed = assemble.repeated_keys(keys)
    final = [renamed.get(i, key) for i, key in enumerate(keys)]
    assert len(set(final)) == len(final)
    assert all(keys.index(key) in (i, -1) or i in renamed for i, key in enumerate(keys))
    assert all(keys.index(keys[i]) < i for i in renamed)
    assert all(final[i].startswith(keys[i] + "~") for i in renamed)


def make(tmp_path, transform=None, shards=3):
    """Three parts of records with two equal keys, assembled."""
    work, folder = tmp_path / "work", tmp_path / "out"
    work.mkdir(parents=True)
    folder.mkdir()
    keys = [["a", "b", "a"], [], ["c", "a", "d", "e"]]
    records = [
        [Record(k, (k.encode() * 9,), ((n + 1, i + 1),), ("c",)) for i, k in enumerate(part)] for n, part in enumerate(keys)
    ]
    parts = []
    for n, part in enumerate(records):
        write_array_record(records_path(work, n), map(pack, part))
        parts.append(Part(n, len(part), len(part), 0, 100 * len(part), keys[n]))
    tasks = assemble.plan_shards(parts, shards)
    writer = assemble.ShardWriter(folder, work, transform)
    for task in reversed(tasks):
        writer(task)
    assert assemble.finished_shards(work, len(tasks)) == set(range(len(tasks)))
    assemble.finish(folder, work, len(tasks), parts, {"kind": "test"}, {}, shards_module.text_identity(TextTokenizer.load()))
    return open_dataset(folder), [r for part in records for r in part]


@pytest.mark.parametrize("shards", [1, 3, 7])
def test_assembled_dataset_holds_the_parts(tmp_path, shards):
    data, records = make(tmp_path, shards=shards)
    data.verify()
    found = list(data.records())
    assert [r.key for r in found] == ["a", "b", "a~2", "c", "a~3", "d", "e"]
    assert [dataclasses.replace(r, key="") for r in found] == [dataclasses.replace(r, key="") for r in records]
    assert [data.key(i) for i in range(7)] == [r.key for r in found]
    assert list(data.heights) == [r.sizes[0][0] for r in records]
    assert data.length_table.many(range(7)) == [lengths_of(r, TextTokenizer.load()) for r in records]


def test_a_transform_sees_every_record_once_in_order_in_batches_within_a_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(assemble, "BATCH", 2)
    seen = []

    def transform(records):
        seen.append([r.key for r in records])
        return [dataclasses.replace(r, captions=(r.key.upper() * 5,)) for r in records]

    data, _ = make(tmp_path, transform, shards=2)
    assert seen == [["c", "a~3"], ["d", "e"], ["a", "b"], ["a~2"]]
    assert [r.captions[0] for r in data.records()][:2] == ["AAAAA", "BBBBB"]
    assert data.column("text_length").tolist()[:3] == [5, 5, 15]


def test_a_transform_must_keep_the_number_of_records(tmp_path):
    with pytest.raises(ValueError, match="transform gave 0 records for"):
        make(tmp_path, lambda records: [])


def test_quarantine_is_written_in_order_and_counted(tmp_path):
    entries = [{"key": str(i), "image": i if i < 2 else None, "reason": r, "detail": "d"} for i, r in enumerate("aba")]
    parts = [Part(0, quarantine=entries[:1], dropped=1), Part(1, quarantine=entries[1:], dropped=2)]
    counts = assemble.write_quarantine(tmp_path, parts)
    assert counts == {"images": 2, "records": 3, "reasons": {"a": 2, "b": 1}}
    assert (tmp_path / "quarantine.jsonl").read_text().count("\n") == 3
