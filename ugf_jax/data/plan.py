"""Which images form which global batch: a pure function of the index, the seed and the step, equal on every host.

Nothing of an epoch is stored. The order of a bucket's images and the order of an epoch's batches are computed bijections
(`permutation`), the r-th image of a bucket is found by bisection (`ranks`). Any part of any batch is found at once: a host
plans only its own slice, resuming at a step costs nothing, and memory does not grow with the number of images.

An epoch takes the next images of each (dataset, bucket) pair, shuffles those of a bucket together (`mixture.drawn`), and cuts
them into batches. Draws that do not fill a batch are the epoch's remainder; it is another one every epoch.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ugf_jax.data.mixture import drawn
from ugf_jax.data.permutation import key, permute
from ugf_jax.data.ranks import Ranks

BATCHES = 1  # tells its keys from those of `mixture`


@dataclasses.dataclass(frozen=True)
class GlobalBatch:
    """A batch over all hosts, or a part of it.

    Attributes:
      bucket: number of the bucket that all its images have.
      epoch: number of the epoch, from 0.
      datasets: int16 `[n]`, which dataset each image is from.
      rows: int64 `[n]`, row of each image in its dataset's index.
    """

    bucket: int
    epoch: int
    datasets: np.ndarray
    rows: np.ndarray


class Plan:
    """The batches of all epochs.

    Attributes:
      batches: int64 `[buckets]`, global batches of each bucket in an epoch.
      batches_per_epoch: their sum; the same for every epoch.
    """

    def __init__(self, ranks: Sequence[Ranks], draws: np.ndarray, batch_sizes: Sequence[int] | np.ndarray, seed: int):
        """Plans without reading anything.

        Args:
          ranks: of each dataset, all made with the same buckets.
          draws: integers `[datasets, buckets]`, images that each dataset gives to each bucket in an epoch.
          batch_sizes: images of a global batch of each bucket.
          seed: any integer.
        """
        self.ranks, self.seed = ranks, seed
        self.draws = np.asarray(draws, np.int64)
        self.counts = np.stack([r.counts for r in ranks])
        self.batch_sizes = np.asarray(batch_sizes, np.int64)
        self.batches = self.draws.sum(axis=0) // self.batch_sizes
        self.batches_per_epoch = int(self.batches.sum())
        self._ends = np.cumsum(self.batches)

    def bucket(self, step: int) -> int:
        """Bucket number of the batch of `step`."""
        return self._place(step)[1]

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> GlobalBatch:
        """Images `start` up to `stop` (default: all) of the batch of `step`; steps count through all epochs."""
        epoch, bucket, number = self._place(step)
        size = int(self.batch_sizes[bucket])
        positions = number * size + np.arange(start, size if stop is None else stop)
        return GlobalBatch(bucket, epoch, *self._images(bucket, epoch, positions))

    def _place(self, step: int) -> tuple[int, int, int]:
        """Epoch, bucket, and number among the epoch's batches of this bucket."""
        epoch, number = divmod(step, self.batches_per_epoch)
        number = int(permute(np.array([number]), self.batches_per_epoch, key(self.seed, BATCHES, epoch))[0])
        bucket = int(np.searchsorted(self._ends, number, side="right"))
        return epoch, bucket, number - int(self._ends[bucket] - self.batches[bucket])

    def remainder(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """What no batch of the epoch has: `(datasets int16 [n], rows int64 [n])`."""
        parts = [(np.zeros(0, np.int16), np.zeros(0, np.int64))]
        for bucket, total in enumerate(self.draws.sum(axis=0)):
            positions = np.arange(self.batches[bucket] * self.batch_sizes[bucket], total)
            parts.append(self._images(bucket, epoch, positions))
        return np.concatenate([d for d, _ in parts]), np.concatenate([r for _, r in parts])

    def _images(self, bucket: int, epoch: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Datasets and rows at `positions` of the bucket's shuffled draws of the epoch."""
        datasets, ranks, _ = drawn(positions, self.draws[:, bucket], self.counts[:, bucket], self.seed, epoch, bucket)
        rows = np.empty(len(positions), np.int64)
        for dataset in np.unique(datasets):
            own = datasets == dataset
            rows[own] = self.ranks[dataset].select(bucket, ranks[own])
        return datasets.astype(np.int16), rows
