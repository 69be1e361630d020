"""Work read ahead by threads, in order: all threads work on the batch that is needed next."""

import dataclasses
import os
import sys
from collections.abc import Callable, Generator
from typing import Any, Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Batch:
    """One host's slice of a global batch.

    Attributes:
      bucket: the shape of its arrays: hashable, and printed as what users know it by.
      arrays: named arrays; the first axis is this host's part of the batch.
      epoch: number of the epoch, from 0.
    """

    bucket: Any
    arrays: dict[str, np.ndarray]
    epoch: int


class AheadSettings(Protocol):
    """What reading ahead needs to know."""

    @property
    def threads(self) -> int:
        """Threads; 0: one per core, at most 16."""

    @property
    def prefetch(self) -> int:
        """Batches loaded ahead."""


def thread_count(settings: AheadSettings) -> int:
    """How many threads to use."""
    return settings.threads or min(os.cpu_count() or 1, 16)


def batches_ahead(
    load: Callable[[int, int, int], Batch], start_step: int, smallest: int, settings: AheadSettings
) -> Generator[Batch, None, None]:
    """Endless batches from `start_step` on, at most `prefetch` of them in memory.

    Args:
      load: `(step, part, parts) → batch`: part number `part` of `parts` of this host's slice.
      start_step: the first step.
      smallest: items of the smallest slice; it is not cut into more parts than that.
      settings: threads and prefetching; they change nothing in the batches.
    """
    import grain  # seconds to import, as it brings JAX; whoever only plans or inspects needs neither

    threads = thread_count(settings)
    parts = min(threads, smallest)
    ahead = parts * settings.prefetch
    numbers = grain.MapDataset.range(start_step * parts, sys.maxsize)
    loaded = numbers.map(lambda number: load(*divmod(int(number), parts), parts))
    options = grain.ReadOptions(num_threads=min(threads, ahead), prefetch_buffer_size=ahead)
    iterator = iter(loaded.to_iter_dataset(options))
    try:
        while True:
            pieces = [next(iterator) for _ in range(parts)]
            arrays = {name: np.concatenate([p.arrays[name] for p in pieces]) for name in pieces[0].arrays}
            yield Batch(pieces[0].bucket, arrays, pieces[0].epoch)
    finally:
        iterator.close()
