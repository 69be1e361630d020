"""How many tokens each part of each record has, stored beside the index so that documents are planned before anything is read.

One row a record, in the order of the shards, as an uncompressed Arrow file that is memory-mapped. It belongs to one text
tokenizer, whose digest is part of its name and stands in the manifest. Reading a row touches the numbers of that row only; no
Python object exists for any other, however many there are.
"""

import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from ugf_jax.data.recipes import Lengths

_COUNT = pa.uint32()
SCHEMA = pa.schema(
    [
        ("captions", pa.list_(_COUNT)),  # tokens
        ("questions", pa.list_(pa.struct([("question", _COUNT), ("answer", _COUNT)]))),  # tokens
        ("turns", pa.list_(_COUNT)),  # see `recipes.Lengths`
        ("images", pa.list_(pa.struct([("master", _COUNT), ("auxiliary", _COUNT)]))),  # codes, kept positions
    ]
)
PAIRS = ("questions", "images")


def file_name(digest: str) -> str:
    """Name of the file for the text tokenizer of this digest."""
    return f"lengths-{digest[:8]}.arrow"


def table(rows: Sequence[Lengths]) -> pa.RecordBatch:
    """Lengths as an Arrow batch of `SCHEMA`."""
    columns = []
    for field in SCHEMA:
        values = [getattr(row, field.name) for row in rows]
        if field.name in PAIRS:
            names = [child.name for child in field.type.value_type]
            values = [[dict(zip(names, pair, strict=True)) for pair in row] for row in values]
        columns.append(pa.array(values, field.type))
    return pa.record_batch(columns, schema=SCHEMA)


class LengthTable:
    """The lengths of all records of a dataset; safe to read from many threads."""

    def __init__(self, path: str | os.PathLike[str]):
        """Maps the file into memory."""
        with pa.memory_map(os.fspath(pathlib.Path(path))) as mapped:
            batches = pa.ipc.open_file(mapped).read_all().to_batches()
        self._starts = np.cumsum([0] + [batch.num_rows for batch in batches])
        self._batches = [tuple(_views(batch.column(field.name)) for field in SCHEMA) for batch in batches]

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
            captions, questions, turns, images = (_row(column, row) for column in self._batches[batch])
            found.append(Lengths(captions[0], tuple(zip(*questions, strict=True)), turns[0], tuple(zip(*images, strict=True))))
        return found


def _views(column: pa.ListArray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Offsets `[rows + 1]` and the values of each field, all views of the mapped file."""
    values = column.values
    fields = [values.field(i) for i in range(values.type.num_fields)] if pa.types.is_struct(values.type) else [values]
    return column.offsets.to_numpy(), tuple(f.to_numpy() for f in fields)


def _row(column: tuple[np.ndarray, tuple[np.ndarray, ...]], row: int) -> tuple[tuple[int, ...], ...]:
    offsets, fields = column
    first, end = offsets[row], offsets[row + 1]
    return tuple(tuple(values[first:end].tolist()) for values in fields)
