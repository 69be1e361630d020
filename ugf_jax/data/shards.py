"""Writing a prepared dataset: shards, index, manifest. `ugf_jax.data.index` reads what is written here."""

import contextlib
import hashlib
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import pyarrow as pa
from array_record.python import array_record_module

from ugf_jax.data import index, lengths, stores
from ugf_jax.data.recipes import lengths_of
from ugf_jax.data.records import Record, pack
from ugf_jax.data.text import TextTokenizer
from ugf_jax.errors import InputError

# One record a group is what random access needs; images are compressed already.
WRITER_OPTIONS = "group_size:1,uncompressed"
ROWS_PER_BATCH = 1 << 20  # an index up to this long maps into memory in one piece
VERSIONED = ("ugf-jax", "array-record", "numpy", "pillow", "pyarrow", "simplejpeg")

Rows = list[tuple[Any, ...]]


def record_rows(record: Record, shard: int, position: int) -> Rows:
    """The rows of the index that describe one record, in the order of `index.SCHEMA`."""
    texts = [*record.captions, *(t["value"] for t in record.turns), *(v for q in record.questions for v in q.values())]
    text_length = sum(len(t.encode()) for t in texts)
    sizes = record.sizes or ((0, 0),)
    codes = [
        c.master.size + sum(int(k.sum()) * a.shape[-1] for a, k in zip(c.auxiliary, c.kept, strict=True)) for c in record.codes
    ]
    codes += [0] * (len(sizes) - len(codes))
    return [(record.key, i, h, w, shard, position, text_length, codes[i]) for i, (h, w) in enumerate(sizes)]


def shard_name(number: int, count: int) -> str:
    """`shard-00000-of-00004.array_record`."""
    return f"shard-{number:05d}-of-{count:05d}.array_record"


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a name to write under beside `path`, and renames it to `path` once all of it is on the disk.

    For a path in an object store the name is of a temporary file here, which is sent when it is whole.

    Raises:
      InputError: the disk is full or cannot be written. Whatever else ends the writing is raised as it is; in either case
        nothing is left behind.
    """
    if stores.is_remote(path):
        with tempfile.TemporaryDirectory() as folder, _named(path):
            yield (here := pathlib.Path(folder) / path.name)
            stores.send(here, path)
        return
    partial = path.parent / f".{path.name}.{os.getpid()}.partial"
    try:
        with _named(path):
            yield partial
            with open(partial, "rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
    """What a disk or a store says, as one line that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); mend that and run the same again") from error


def write_array_record(path: pathlib.Path, records: Iterable[bytes]) -> int:
    """Writes packed records to `path`, whole or not at all; returns how many."""
    count = 0
    with whole(path) as partial:
        with _as_os_error():
            writer = array_record_module.ArrayRecordWriter(os.fspath(partial), WRITER_OPTIONS)
        try:
            for data in records:
                with _as_os_error():
                    writer.write(data)
                count += 1
        finally:
            with _as_os_error():
                writer.close()
    return count


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """The ArrayRecord writer says everything as RuntimeError: `write() failed: No space left on device; writing …`."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error).split(";")[0]) from error


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def rows_table(rows: Rows) -> pa.RecordBatch:
    """Rows of the index as an Arrow batch."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in index.SCHEMA]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, index.SCHEMA, strict=True)], schema=index.SCHEMA)


def write_index(path: pathlib.Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema = index.SCHEMA) -> int:
    """Writes `index.arrow` (or lengths) from batches in order, regrouped to `ROWS_PER_BATCH`; returns the number of rows."""
    rows = 0
    with whole(path) as partial, pa.OSFile(os.fspath(partial), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for batch in _regroup(batches, schema):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _regroup(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    waiting = pa.Table.from_batches([], schema)
    for batch in batches:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
        while waiting.num_rows >= ROWS_PER_BATCH:
            yield waiting.slice(0, ROWS_PER_BATCH).combine_chunks().to_batches()[0]
            waiting = waiting.slice(ROWS_PER_BATCH)
    if waiting.num_rows:
        yield waiting.combine_chunks().to_batches()[0]


def file_entry(path: pathlib.Path, **fields: Any) -> dict[str, Any]:
    """What the manifest says about a file: name, size in bytes, SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, **fields, "bytes": stores.size(path), "sha256": digest}


def size_histogram(heights: np.ndarray, widths: np.ndarray) -> dict[str, dict[str, int]]:
    """Counts of images by long side (upper limits, powers of two, pixels) and by aspect ratio (width / height)."""
    seen = heights > 0
    heights, widths = heights[seen].astype(np.int64), widths[seen].astype(np.int64)
    side = np.exp2(np.ceil(np.log2(np.maximum(np.maximum(heights, widths), 1)))).astype(np.int64)
    edges = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 4 / 5, 5 / 4, 3 / 2, 2, 3, 4])
    names = ("< 1:4", "1:4", "1:3", "1:2", "2:3", "4:5 … 5:4", "5:4", "3:2", "2:1", "3:1", "≥ 4:1")
    bins = np.searchsorted(edges, widths / np.maximum(heights, 1), side="right")
    return {
        "long_side": {str(s): int(n) for s, n in zip(*np.unique(side, return_counts=True), strict=True)},
        "aspect": {name: int((bins == i).sum()) for i, name in enumerate(names)},
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages whose behaviour can show in a prepared dataset."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def write_manifest(
    folder: pathlib.Path,
    shard_entries: Sequence[Mapping[str, Any]],
    source: Mapping[str, Any],
    settings: Mapping[str, Any],
    quarantine: Mapping[str, Any],
    text: Mapping[str, Any],
    pairs: int = 0,
) -> dict[str, Any]:
    """Writes the manifest, which makes the dataset complete; shards, `index.arrow` and the lengths must be there.

    `text` is what `text_identity` says of the text tokenizer that the lengths were counted with; `pairs` is the number of
    preferences in all records, said where there are some.
    """
    table = stores.read_table(folder / index.INDEX_NAME)
    heights, widths = (table.column(name).to_numpy() for name in ("height", "width"))
    manifest = {
        "format": index.FORMAT,
        "version": index.VERSION,
        "records": sum(s["records"] for s in shard_entries),
        "images": int((heights > 0).sum()),
        **({"pairs": pairs} if pairs else {}),
        "source": source,
        "settings": settings,
        "sizes": size_histogram(heights, widths),
        "quarantine": quarantine,
        "shards": shard_entries,
        "index": file_entry(folder / index.INDEX_NAME, rows=table.num_rows),
        "text": text,
        "lengths": file_entry(folder / lengths.file_name(text["digest"])),
        "versions": versions(),
    }
    write_text(folder / index.MANIFEST_NAME, manifest_text(manifest))
    return manifest


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """The content of `manifest.json`."""
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def text_identity(text: TextTokenizer) -> dict[str, Any]:
    """What the manifest says of a text tokenizer: its digest and the number of its ids."""
    return {"digest": text.digest, "size": text.size}


def write_dataset(
    folder: str | os.PathLike[str],
    records: Sequence[Record],
    shards: int = 1,
    settings: Mapping[str, Any] | None = None,
    text_tokenizer: str = "",
) -> index.Dataset:
    """Writes records that are in memory as a prepared dataset and opens it (for small sets made by a program).

    Args:
      folder: made if missing.
      records: all of them.
      shards: number of files.
      settings: what the manifest says they were made with, for example the image tokenizer of their codes.
      text_tokenizer: file of the tokenizer that counts their texts; "" is the shipped one.
    """
    folder = pathlib.Path(folder)
    text = TextTokenizer.load(text_tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [len(records) * i // shards for i in range(shards + 1)]
    entries, batches = [], []
    for number in range(shards):
        part = records[bounds[number] : bounds[number + 1]]
        path = folder / shard_name(number, shards)
        count = write_array_record(path, map(pack, part))
        entries.append(file_entry(path, records=count))
        batches.append(rows_table([row for i, r in enumerate(part) for row in record_rows(r, number, i)]))
    write_index(folder / index.INDEX_NAME, batches)
    counted = lengths.table([lengths_of(record, text) for record in records])
    write_index(folder / lengths.file_name(text.digest), [counted], lengths.SCHEMA)
    write_text(folder / index.QUARANTINE_NAME, "")
    quarantine = {"images": 0, "records": 0, "reasons": {}}
    pairs = sum(len(record.pairs) for record in records)
    write_manifest(folder, entries, {"kind": "records"}, settings or {}, quarantine, text_identity(text), pairs)
    return index.open_dataset(folder)
