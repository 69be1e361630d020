"""How many tokens each part of each record has, stored beside the index so that documents are planned before anything is read.

One row a record, in the order of the shards, as an uncompressed Arrow file that is memory-mapped. It belongs to one text
tokenizer, whose digest is part of its name and stands in the manifest. Reading a row touches the numbers of that row only; no
Python object exists for any other, however many there are.
"""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ugf_jax.data import stores
from ugf_jax.data.recipes import Lengths

_COUNT = pa.uint32()
SCHEMA = pa.schema(
    [
        ("captions", pa.list_(_COUNT)),  # tokens
        ("questions", pa.list_(pa.struct([("question", _COUNT), ("answer", _COUNT)]))),  # tokens
        ("turns", pa.list_(_COUNT)),  # see `recipes.Lengths`
        ("images", pa.list_(pa.struct([("master", _COUNT), ("auxiliary", _COUNT)]))),  # codes, kept positions
        ("pairs", pa.list_(pa.struct([("winner", _COUNT), ("loser", _COUNT), ("weight", pa.float64())]))),  # numbers of images
    ]
)
TUPLES = ("questions", "images", "pairs")


def file_name(digest: str) -> str:
    """Name of the file for the text tokenizer of this digest."""
    return f"lengths-{digest[:8]}.arrow"


def table(rows: Sequence[Lengths]) -> pa.RecordBatch:
    """Lengths as an Arrow batch of `SCHEMA`."""
    columns = []
    for field in SCHEMA:
        values = [getattr(row, field.name) for row in rows]
        if field.name in TUPLES:
            names = [child.name for child in field.type.value_type]
            values = [[dict(zip(names, item, strict=True)) for item in row] for row in values]
        columns.append(pa.array(values, field.type))
    return pa.record_batch(columns, schema=SCHEMA)


class PairTable(NamedTuple):
    """All preferences of a dataset, in order, and how much room each takes: arrays `[pairs]`, int64 but for the weights.

    Attributes:
      record: number of the record.
      winner, loser: numbers of the images in the record.
      weight: float64.
      prompt: tokens of the record's first caption, 0 without.
      master: master codes of the image that has more of them.
      auxiliary: kept auxiliary positions of the image that has more of them.
    """

    record: np.ndarray
    winner: np.ndarray
    loser: np.ndarray
    weight: np.ndarray
    prompt: np.ndarray
    master: np.ndarray
    auxiliary: np.ndarray


class LengthTable:
    """The lengths of all records of a dataset; safe to read from many threads."""

    def __init__(self, path: str | os.PathLike[str]):
        """Maps the file into memory, or fetches it from an object store."""
        batches = stores.read_table(stores.as_path(path)).to_batches()
        self._starts = np.cumsum([0] + [batch.num_rows for batch in batches])
        self._batches = [tuple(_views(_column(batch, field)) for field in SCHEMA) for batch in batches]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, record: int) -> Lengths:
        """Lengths of record number `record`."""
        return next(iter(self.many([record])))

    def many(self, records: Iterable[int]) -> list[Lengths]:
        """Lengths of each of these records."""
        numbers = np.asarray(list(records), np.int64)
        held = np.searchsorted(self._starts, numbers, side="right") - 1
        rows = numbers - self._starts[held]
        found = []
        for batch, row in zip(held.tolist(), rows.tolist(), strict=True):
            captions, questions, turns, images, pairs = (_row(column, row) for column in self._batches[batch])
            tuples = (tuple(zip(*fields, strict=True)) for fields in (questions, images, pairs))
            asked, shown, compared = tuples
            found.append(Lengths(captions[0], asked, turns[0], shown, compared))
        return found

    def pairs(self) -> PairTable:
        """Every preference of every record; the lengths of images are 0 where no codes are stored."""
        parts = [_pairs(batch, int(start)) for batch, start in zip(self._batches, self._starts, strict=False)]
        empty = PairTable(*(np.zeros(0, np.float64 if name == "weight" else np.int64) for name in PairTable._fields))
        return PairTable(*(np.concatenate(columns) for columns in zip(empty, *parts, strict=True)))


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.ListArray:
    """A column of a batch; empty lists where the file is older than the column."""
    if field.name in batch.schema.names:
        return batch.column(field.name)
    return pa.array([[]] * batch.num_rows, field.type)


def _pairs(columns: tuple[tuple[np.ndarray, tuple[np.ndarray, ...]], ...], first: int) -> PairTable:
    """The preferences of the records of a batch, whose first is record number `first`."""
    named = dict(zip(SCHEMA.names, columns, strict=True))
    offsets, (winner, loser, weight) = named["pairs"]
    record = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    winner, loser = winner.astype(np.int64), loser.astype(np.int64)

    def longest(column: str, field: int, *places: np.ndarray) -> np.ndarray:
        """The largest of some entries of each pair's record; 0 for an entry that is not there."""
        starts, values = named[column][0], np.append(named[column][1][field].astype(np.int64), 0)
        there = (np.where(starts[record] + p < starts[record + 1], starts[record] + p, len(values) - 1) for p in places)
        return np.max([values[at] for at in there], axis=0)

    prompt = longest("captions", 0, np.zeros(len(record), np.int64))
    sizes = (longest("images", field, winner, loser) for field in (0, 1))
    return PairTable(first + record, winner, loser, weight.astype(np.float64), prompt, *sizes)


def _views(column: pa.ListArray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Offsets `[rows + 1]` and the values of each field, all views of the mapped file."""
    values = column.values
    fields = [values.field(i) for i in range(values.type.num_fields)] if pa.types.is_struct(values.type) else [values]
    return column.offsets.to_numpy(), tuple(f.to_numpy() for f in fields)


def _row(column: tuple[np.ndarray, tuple[np.ndarray, ...]], row: int) -> tuple[tuple, ...]:
    offsets, fields = column
    first, end = offsets[row], offsets[row + 1]
    return tuple(tuple(values[first:end].tolist()) for values in fields)
