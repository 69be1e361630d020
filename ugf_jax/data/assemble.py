"""The parts of a source put together into shards, and the shards into a dataset."""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from array_record.python import array_record_module

from ugf_jax.data import index, lengths, shards, stores
from ugf_jax.data.parts import Part, records_path
from ugf_jax.data.recipes import Lengths, lengths_of
from ugf_jax.data.records import Record, pack, unpack
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.workers import tick

SHARD_BYTES = 256 * 2**20
BATCH = 256  # records given to a transform at once

Transform = Callable[[list[Record]], list[Record]]


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """What one shard is made of.

    Attributes:
      number, count: this shard and how many there are.
      pieces: `(part, first record, end)` in order.
      renamed: new key by number of the record within the shard.
    """

    number: int
    count: int
    pieces: tuple[tuple[int, int, int], ...]
    renamed: dict[int, str]


def plan_shards(parts: Sequence[Part], wanted: int) -> list[ShardTask]:
    """Divides the records of all parts, in order, evenly among shards (`wanted`, or one for every 256 MiB where it is 0)."""
    total = sum(len(p.keys) for p in parts)
    count = wanted or -(-sum(p.size for p in parts) // SHARD_BYTES)
    count = max(min(count, total), 1)
    renamed = repeated_keys([key for part in parts for key in part.keys])
    starts = np.cumsum([0] + [len(p.keys) for p in parts])
    tasks = []
    for number in range(count):
        first, end = total * number // count, total * (number + 1) // count
        pieces = [
            (part.number, max(first - start, 0), min(end - start, len(part.keys)))
            for part, start in zip(parts, starts.tolist(), strict=False)
            if start < end and start + len(part.keys) > first
        ]
        inside = {at - first: key for at, key in renamed.items() if first <= at < end}
        tasks.append(ShardTask(number, count, tuple(pieces), inside))
    return tasks


def repeated_keys(keys: Sequence[str]) -> dict[int, str]:
    """New keys, by position, for all but the first of equal ones: `cat`, `cat~2`, `cat~3`."""
    times = collections.Counter(keys)
    repeated = {key for key, n in times.items() if n > 1}
    seen: collections.Counter[str] = collections.Counter()
    renamed: dict[int, str] = {}
    for position, key in enumerate(keys):
        if key not in repeated:
            continue
        seen[key] += 1
        if seen[key] > 1:
            while (new := f"{key}~{seen[key]}") in times:
                seen[key] += 1
            renamed[position] = new
    return renamed


@dataclasses.dataclass(frozen=True)
class ShardWriter:
    """Writes a shard into `folder` from the parts in `work`; picklable unless its transform is not.

    Attributes:
      transform: changes records (adds codes to them), given up to 256 of one shard at a time in order; must keep their number.
      text_tokenizer: file of the tokenizer that counts the texts; "" is the shipped one.
    """

    folder: pathlib.Path
    work: pathlib.Path
    transform: Transform | None = None
    text_tokenizer: str = ""

    def __call__(self, task: ShardTask) -> int:
        """Writes the shard, its rows of the index, its lengths, then what the manifest will say of it; returns its number."""
        path = self.folder / shards.shard_name(task.number, task.count)
        rows: shards.Rows = []
        counted: list[Lengths] = []
        count = shards.write_array_record(path, self._packed(task, rows, counted))
        shards.write_index(_rows_path(self.work, task.number), [shards.rows_table(rows)])
        shards.write_index(_lengths_path(self.work, task.number), [lengths.table(counted)], lengths.SCHEMA)
        entry = shards.file_entry(path, records=count)
        shards.write_text(entry_path(self.work, task.number), json.dumps(entry))
        return task.number

    @property
    def work_folder(self) -> pathlib.Path:
        """Where unfinished work lies."""
        return self.work

    def result(self, task: ShardTask) -> int | None:
        """What writing the shard gave, None if it is not written."""
        return task.number if entry_path(self.work, task.number).is_file() else None

    def _packed(self, task: ShardTask, rows: shards.Rows, counted: list[Lengths]) -> Iterator[bytes]:
        text = TextTokenizer.load(self.text_tokenizer)
        for batch in _batches(self._records(task), BATCH):
            changed = self.transform([record for record, _ in batch]) if self.transform else [record for record, _ in batch]
            if len(changed) != len(batch):
                raise ValueError(f"transform gave {len(changed)} records for {len(batch)}")
            for new, (old, data) in zip(changed, batch, strict=True):
                rows.extend(shards.record_rows(new, task.number, len(counted)))
                counted.append(lengths_of(new, text))
                yield data if new is old and data else pack(new)
                tick()

    def _records(self, task: ShardTask) -> Iterator[tuple[Record, bytes | None]]:
        """Records of a shard with their packed form, None where it is out of date."""
        position = 0
        for part, first, end in task.pieces:
            reader = array_record_module.ArrayRecordReader(os.fspath(records_path(self.work, part)))
            for data in _read(reader, first, end):
                record = unpack(data)
                if position in task.renamed:
                    yield dataclasses.replace(record, key=task.renamed[position]), None
                else:
                    yield record, data
                position += 1
            reader.close()


def finished_shards(work: pathlib.Path, count: int) -> set[int]:
    """Numbers of the shards that need not be written again."""
    return {number for number in range(count) if entry_path(work, number).is_file()}


def finish(
    folder: pathlib.Path,
    work: pathlib.Path,
    count: int,
    parts: Sequence[Part],
    source: dict[str, Any],
    settings: dict[str, Any],
    text: dict[str, Any],
) -> dict[str, Any]:
    """Writes the index, the lengths, the quarantine and, last, the manifest."""
    entries = [json.loads(entry_path(work, number).read_text(encoding="utf-8")) for number in range(count)]
    shards.write_index(folder / index.INDEX_NAME, (b for n in range(count) for b in _read_rows(_rows_path(work, n))))
    counted = (b for n in range(count) for b in _read_rows(_lengths_path(work, n)))
    shards.write_index(folder / lengths.file_name(text["digest"]), counted, lengths.SCHEMA)
    quarantine = write_quarantine(folder, parts)
    pairs = sum(part.pairs for part in parts)
    return shards.write_manifest(folder, entries, source, settings, quarantine, text, pairs)


def write_quarantine(folder: pathlib.Path, parts: Sequence[Part]) -> dict[str, Any]:
    """Writes `quarantine.jsonl`, in the order of the source; returns the counts for the manifest."""
    entries = [entry for part in parts for entry in part.quarantine]
    shards.write_text(folder / index.QUARANTINE_NAME, "".join(json.dumps(e) + "\n" for e in entries))
    reasons = collections.Counter(e["reason"] for e in entries)
    lost = sum(p.lost_pairs for p in parts)
    return {
        "images": sum(e["image"] is not None for e in entries),
        "records": sum(p.dropped for p in parts),
        "reasons": dict(sorted(reasons.items())),
    } | ({"pairs": lost} if lost else {})


def entry_path(work: pathlib.Path, number: int) -> pathlib.Path:
    """Where a finished shard is described until the manifest takes it over."""
    return work / f"shard-{number:05d}.json"


def _rows_path(work: pathlib.Path, number: int) -> pathlib.Path:
    return work / f"rows-{number:05d}.arrow"


def _lengths_path(work: pathlib.Path, number: int) -> pathlib.Path:
    return work / f"lengths-{number:05d}.arrow"


def _read_rows(path: pathlib.Path) -> list[pa.RecordBatch]:
    return stores.read_table(path).to_batches()


def _read(reader: Any, first: int, end: int) -> Iterator[bytes]:
    """Records `[first, end)`, a few at a time: a part may be larger than memory."""
    for start in range(first, end, 16):
        yield from reader.read(start, min(start + 16, end))


def _batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
