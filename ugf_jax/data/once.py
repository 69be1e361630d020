"""Batches for measuring: every image exactly once, in order, the last batch of a bucket filled up and masked."""

from collections.abc import Iterator, Sequence

import numpy as np

from ugf_jax.data.buckets import Bucket, BucketSettings, assign, fit
from ugf_jax.data.index import Dataset
from ugf_jax.data.loader import Batch, read_image
from ugf_jax.errors import InputError


def batches_once(
    dataset: Dataset,
    buckets: Sequence[Bucket],
    settings: BucketSettings,
    batch_size: int,
    limit: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yields this process's slice of each batch: `image` uint8 `[b, h, w, 3]`, `row` int64 `[b]`, `mask` bool `[b]`.

    Args:
      dataset: a prepared dataset.
      buckets: what images are fitted to.
      settings: those that `buckets` were made with.
      batch_size: images of a global batch; `process_count` must divide it.
      limit: use only the first so many images that have a bucket.

    Raises:
      InputError: the batch size does not divide, or no image has a bucket.
    """
    if batch_size % process_count:
        raise InputError(f"config.evaluation.batch_size {batch_size} must be a multiple of the {process_count} processes")
    numbers = assign(np.asarray(dataset.heights), np.asarray(dataset.widths), buckets, settings)
    rows = np.flatnonzero(numbers >= 0)[:limit]
    if not len(rows):
        raise InputError(f"{dataset.folder}: no image fits any bucket")
    share = batch_size // process_count
    for number, bucket in enumerate(buckets):
        members = rows[numbers[rows] == number]
        for start in range(0, len(members), batch_size):
            real = members[start : start + batch_size]
            padded = np.resize(real, batch_size)
            mine = slice(process_index * share, (process_index + 1) * share)
            images = np.stack([fit(read_image(dataset, int(row)), bucket, settings) for row in padded[mine]])
            mask = (np.arange(batch_size) < len(real))[mine]
            yield Batch(bucket, {"image": images, "row": padded[mine].astype(np.int64), "mask": mask}, epoch=0)
