"""A prepared dataset on disk: ArrayRecord shards, an Arrow index of every image, a manifest.

    OUT/shard-00000-of-00004.array_record …   packed records, in the order of the source
    OUT/index.arrow                           one row per image (one row of size 0 × 0 for a record without images)
    OUT/lengths-….arrow                       one row per record: tokens of its texts and images (`ugf_jax.data.lengths`)
    OUT/manifest.json                         counts, digests, histogram of sizes, source, settings, versions
    OUT/quarantine.jsonl                      what was refused, each with its reason

The index is an uncompressed Arrow IPC file and is memory-mapped, so that opening costs nothing and sizes are known without
reading a record. This module reads; `ugf_jax.data.shards` writes.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from array_record.python import array_record_data_source

from ugf_jax.data import stores
from ugf_jax.data.records import Record, unpack
from ugf_jax.errors import InputError

if TYPE_CHECKING:
    from ugf_jax.data.lengths import LengthTable
    from ugf_jax.data.recipes import Lengths

FORMAT = "ugf-dataset"
VERSION = 1
INDEX_NAME = "index.arrow"
MANIFEST_NAME = "manifest.json"
QUARANTINE_NAME = "quarantine.jsonl"
_ASKED_AT_ONCE = 32  # files of an object store

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("image", pa.uint16()),  # number of the image within its record
        ("height", pa.uint32()),  # pixels, after EXIF orientation
        ("width", pa.uint32()),
        ("shard", pa.uint32()),
        ("position", pa.uint32()),  # number of the record within its shard
        ("text_length", pa.uint32()),  # UTF-8 bytes of captions, turns, questions and answers
        ("code_length", pa.uint32()),  # tokenizer codes stored for the image, 0 without
    ]
)


@dataclasses.dataclass(frozen=True)
class _Shard:
    """The part of `array_record`'s `FileInstruction` protocol that lets it open nothing before the first read."""

    filename: str
    take: int
    skip: int = 0

    @property
    def examples_in_shard(self) -> int:
        return self.take


class Dataset:
    """Random access to a prepared dataset; a *row* is one image. Reading is safe from many threads.

    Attributes:
      folder: where it lies.
      manifest: the manifest as written.
      fingerprint: SHA-256 over the digests of all shards and of the index; equal exactly when the content is.
    """

    def __init__(self, folder: pathlib.Path, manifest: dict[str, Any]):
        """Use `open_dataset`."""
        self.folder = folder
        self.manifest = manifest
        digests = [shard["sha256"] for shard in manifest["shards"]] + [manifest["index"]["sha256"]]
        self.fingerprint = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        shards = manifest["shards"]
        self._first = np.cumsum([0] + [s["records"] for s in shards])
        self._source = array_record_data_source.ArrayRecordDataSource(
            [_Shard(os.fspath(folder / s["name"]), s["records"]) for s in shards]
        )
        self.table = stores.read_table(folder / INDEX_NAME)

    def __len__(self) -> int:
        return self.num_rows

    @property
    def num_rows(self) -> int:
        """Images, plus records without an image."""
        return self.table.num_rows

    @property
    def num_records(self) -> int:
        """Records; a record with several images has several rows."""
        return int(self._first[-1])

    def column(self, name: str) -> np.ndarray:
        """A numeric column of the index as `[num_rows]`: a view of the mapped file where it is in one piece."""
        chunks = self.table.column(name).chunks
        if len(chunks) == 1:
            return chunks[0].to_numpy(zero_copy_only=True)
        return (
            np.concatenate([c.to_numpy() for c in chunks]) if chunks else np.zeros(0, SCHEMA.field(name).type.to_pandas_dtype())
        )

    @functools.cached_property
    def heights(self) -> np.ndarray:
        """uint32 `[num_rows]`, pixels."""
        return self.column("height")

    @functools.cached_property
    def widths(self) -> np.ndarray:
        """uint32 `[num_rows]`, pixels."""
        return self.column("width")

    def size_chunks(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yields `(first row, heights, widths)` as views of the mapped file, so that any number of rows needs no memory."""
        start = 0
        for batch in self.table.select(["height", "width"]).to_batches():
            yield start, batch.column(0).to_numpy(), batch.column(1).to_numpy()
            start += batch.num_rows

    def key(self, row: int) -> str:
        """Key of the record that row `row` belongs to."""
        return self.table.column("key")[row].as_py()

    def record_number(self, row: int) -> int:
        """Position of the row's record in the whole dataset."""
        shard, position = (self.table.column(name)[row].as_py() for name in ("shard", "position"))
        return int(self._first[shard]) + position

    @functools.cached_property
    def length_table(self) -> "LengthTable":
        """Token lengths of all records, by the text tokenizer that the manifest names.

        Raises:
          InputError: the dataset was prepared without them.
        """
        from ugf_jax.data.lengths import LengthTable  # recipes need the sources, and these look for datasets

        if "lengths" not in self.manifest:
            raise InputError(f"{self.folder}: prepared without token lengths; run the same `ugf prepare` again to add them")
        return LengthTable(self.folder / self.manifest["lengths"]["name"])

    def lengths(self, record: int) -> "Lengths":
        """Token lengths of record number `record`."""
        return self.length_table[record]

    def record(self, number: int) -> Record:
        """Record number `number`, in the order of the shards."""
        return unpack(self._source[number])

    def read(self, row: int) -> Record:
        """The record that row `row` belongs to."""
        return unpack(self._source[self.record_number(row)])

    def read_many(self, rows: Sequence[int]) -> list[Record]:
        """`[read(row) for row in rows]`, grouped by shard."""
        if not len(rows):
            return []
        return [unpack(data) for data in self._source.__getitems__([self.record_number(row) for row in rows])]

    def records(self) -> Iterator[Record]:
        """Every record once, in order."""
        for number in range(self.num_records):
            yield unpack(self._source[number])

    def image(self, row: int) -> bytes:
        """The encoded bytes of the row's image.

        Raises:
          InputError: the row is a record without an image.
        """
        record = self.read(row)
        number = self.table.column("image")[row].as_py()
        if number >= len(record.images):
            raise InputError(f"{self.folder}: record '{record.key}' has no image")
        return record.images[number]

    def verify(self) -> None:
        """Reads every file and compares its digest with the manifest.

        Raises:
          InputError: a file whose content is not what was written.
        """
        for entry in _files(self.manifest):
            with (self.folder / entry["name"]).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != entry["sha256"]:
                raise InputError(
                    f"{self.folder / entry['name']}: content changed since it was written; prepare the dataset again"
                )


def open_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """Opens a prepared dataset; sizes of files are checked, their content is not (see `Dataset.verify`).

    Args:
      folder: on a disk or in an object store (`gs://…`).

    Raises:
      InputError: the folder is not a prepared dataset, or a file of it is missing or has the wrong size.
    """
    folder = stores.as_path(folder)
    manifest = read_manifest(folder)
    entries = _files(manifest)
    for entry in entries:
        if pathlib.PurePath(entry["name"]).name != entry["name"]:
            raise InputError(f"{folder / MANIFEST_NAME}: '{entry['name']}' is not a plain file name")
    paths = [folder / entry["name"] for entry in entries]
    with futures.ThreadPoolExecutor(_ASKED_AT_ONCE if stores.is_remote(folder) else 1) as pool:  # a store answers slowly
        for path, entry, found in zip(paths, entries, pool.map(stores.size, paths), strict=True):
            if found is None:
                raise InputError(f"{path}: missing; copy it back or prepare the dataset again")
            if found != entry["bytes"]:
                raise InputError(f"{path}: {found} bytes, want {entry['bytes']}; copy it again or prepare the dataset again")
    return Dataset(folder, manifest)


def open_datasets(folders: Sequence[str], path: str) -> list[Dataset]:
    """Opens the datasets that a setting names.

    Args:
      folders: the value of the setting.
      path: how messages name it, for example `config.data.datasets`.

    Raises:
      InputError: none is named, or one cannot be opened.
    """
    if not folders:
        raise InputError(f"{path} is empty; name at least one folder made by `ugf prepare`")
    datasets = []
    for number, folder in enumerate(folders):
        try:
            datasets.append(open_dataset(folder))
        except InputError as error:
            raise InputError(f"{path}[{number}]: {error}") from error
    return datasets


def _files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [*manifest["shards"], manifest["index"], *([manifest["lengths"]] if "lengths" in manifest else [])]


def read_manifest(folder: pathlib.Path) -> dict[str, Any]:
    """The manifest of a prepared dataset.

    Raises:
      InputError: there is none, it cannot be read, or it is of another format.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        parts = sorted(p.parent.name for p in folder.glob(f"*/{MANIFEST_NAME}")) if folder.is_dir() else []
        if parts:
            raise InputError(
                f"{folder}: holds several datasets; name one of them: " + ", ".join(str(folder / p) for p in parts)
            )
        missing = "not a prepared dataset (no manifest.json)" if folder.is_dir() else "no such folder"
        raise InputError(f"{folder}: {missing}; make one with `ugf prepare SOURCE {folder}`")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); prepare the dataset again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: not the manifest of a prepared dataset")
    if manifest.get("version") != VERSION:
        raise InputError(f"{path}: version {manifest.get('version')}, this program reads {VERSION}; prepare the dataset again")
    return manifest
