"""Items in fixed batches, each item counted once, continued where a killed evaluation was."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from ugf_jax.data.image import ImageRejected, decode
from ugf_jax.data.index import Dataset
from ugf_jax.data.records import Record
from ugf_jax.errors import InputError
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.progress import Progress

T = TypeVar("T")


def evenly(items: Sequence[T], limit: int | None) -> list[T]:
    """`limit` evenly spaced ones of the items, or all."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def grouped(rows: Sequence[int], group: Callable[[int], Hashable], size: int) -> list[tuple[int, ...]]:
    """Batches of at most `size` rows of one group, in order; a pure function of its arguments."""
    groups: dict[Any, list[int]] = {}
    for row in rows:
        groups.setdefault(group(row), []).append(row)
    return [tuple(rows[i : i + size]) for rows in groups.values() for i in range(0, len(rows), size)]


def measure_batches(
    name: str,
    batches: Sequence[tuple[int, ...]],
    compute: Callable[[tuple[int, ...]], list[Sample]],
    log: SampleLog,
    quiet: bool = False,
) -> list[Sample]:
    """Computes every batch that the log does not hold whole; all samples in order of their rows.

    A batch is the unit of work: it is the same after a kill, so the results are, too.

    Args:
      name: of the task, shown with the progress.
      batches: rows of items that are computed together; each row is in one of them.
      compute: the samples of a batch, without their `row`.
      log: what is known already; receives the rest.
      quiet: show no progress.

    Raises:
      ValueError: another number of samples than of items.
    """
    rows = [row for batch in batches for row in batch]
    done = sum(row in log.samples for row in rows)
    with Progress(f"evaluate {name}", len(rows), "items", done=done, quiet=quiet) as progress:
        for batch in batches:
            new = sum(row not in log.samples for row in batch)
            if new:
                samples = compute(batch)
                log.append([{"row": row, **sample} for row, sample in zip(batch, samples, strict=True)])
                progress.advance(new)
    return [log.samples[row] for row in sorted(rows)]


def captioned(dataset: Dataset, limit: int | None) -> list[int]:
    """Numbers of the records that hold an image and a caption, or of `limit` evenly spaced ones of them.

    Raises:
      InputError: there are none.
    """
    found = [n for n, r in enumerate(dataset.records()) if r.images and r.captions]
    if not found:
        raise InputError(f"{dataset.folder}: no image with a caption (and its pixels) to evaluate; name another dataset")
    return evenly(found, limit)


def first_image(record: Record) -> np.ndarray | ImageRejected:
    """The first image of a record, uint8 `[height, width, 3]`, or why it was refused."""
    try:
        return decode(record.images[0])
    except ImageRejected as rejected:
        return rejected
