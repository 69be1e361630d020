"""Finds the r-th image of a bucket among any number of index rows, without a list of the bucket's images.

The heights and widths stay where they are (a memory-mapped index). Kept in memory is only how many images of each bucket
come before each block of rows; the block that holds the r-th image is found by bisection, and its rows are assigned to
buckets again to find the image in it. Blocks grow with the number of rows, so that memory does not.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from ugf_jax.data.buckets import Assigner, Bucket, FitSettings

SMALLEST_BLOCK = 256  # rows
TABLE_ENTRIES = 2**24  # at most, over all buckets; 128 MiB
CHUNK = 2**18  # rows assigned at once when counting


class Ranks:
    """Ranks of the rows of one index within their buckets.

    Attributes:
      counts: int64 `[buckets]`, images of each bucket.
      reasons: rows without a bucket, by (negative) reason.
    """

    def __init__(
        self,
        sizes: Iterable[tuple[np.ndarray, np.ndarray]],
        buckets: Sequence[Bucket],
        settings: FitSettings,
        table_entries: int = TABLE_ENTRIES,
    ):
        """Counts the images of each bucket in one pass.

        Args:
          sizes: pieces `(heights, widths)`, integers `[rows of the piece]`, usually memory-mapped; kept by reference.
          buckets: as from `make_buckets`.
          settings: those that `buckets` were made with.
          table_entries: memory to use at most, in units of 8 bytes.
        """
        self.pieces = [(h, w) for h, w in sizes if len(h)]
        self.assigner = Assigner(buckets, settings)
        lengths = [len(h) for h, _ in self.pieces]
        if any(length % SMALLEST_BLOCK for length in lengths[:-1]):
            self.pieces = [(np.concatenate([h for h, _ in self.pieces]), np.concatenate([w for _, w in self.pieces]))]
            lengths = [sum(lengths)]
        self.block = SMALLEST_BLOCK
        while -(-sum(lengths) // self.block) * len(buckets) > table_entries and not any(
            length % (2 * self.block) for length in lengths[:-1]
        ):
            self.block *= 2
        self.starts = np.cumsum([0, *lengths])
        self.before = np.zeros((len(buckets), -(-sum(lengths) // self.block) + 1), np.int64)
        self.reasons: dict[int, int] = {}
        for start, (heights, widths) in zip(self.starts.tolist(), self.pieces, strict=False):
            self._count(start, heights, widths)
        np.cumsum(self.before, axis=1, out=self.before)
        self.counts = self.before[:, -1].copy()

    def _count(self, start: int, heights: np.ndarray, widths: np.ndarray) -> None:
        chunk = max(CHUNK // self.block, 1) * self.block
        for offset in range(0, len(heights), chunk):
            numbers = self.assigner(heights[offset : offset + chunk], widths[offset : offset + chunk])
            for reason, count in zip(*np.unique(numbers[numbers < 0], return_counts=True), strict=True):
                self.reasons[int(reason)] = self.reasons.get(int(reason), 0) + int(count)
            buckets, blocks = len(self.before), -(-len(numbers) // self.block)
            cells = (np.arange(len(numbers)) // self.block * buckets + numbers)[numbers >= 0]
            first = (start + offset) // self.block
            self.before[:, first + 1 : first + 1 + blocks] = (
                np.bincount(cells, minlength=blocks * buckets).reshape(-1, buckets).T
            )

    def merge(self, merged: np.ndarray) -> None:
        """Counts the images of bucket `b` to bucket `merged[b]`, int16 `[buckets]`, or to a reason where that is negative."""
        self.assigner.merge(merged)
        before = np.zeros_like(self.before)
        for source, target in enumerate(merged.tolist()):
            if target >= 0:
                before[target] += self.before[source]
            elif self.counts[source]:
                self.reasons[target] = self.reasons.get(target, 0) + int(self.counts[source])
        self.before = before
        self.counts = before[:, -1].copy()

    def select(self, bucket: int, ranks: np.ndarray) -> np.ndarray:
        """Rows, int64 `[n]`, of the images that have `ranks` `[n]` (in `[0, counts[bucket])`) in bucket number `bucket`."""
        before = self.before[bucket]
        blocks = np.searchsorted(before, ranks, side="right") - 1
        first = blocks * self.block
        numbers = self._numbers(first)
        wanted = ranks - before[blocks] + 1
        return first + np.argmax(np.cumsum(numbers == bucket, axis=1) == wanted[:, None], axis=1)

    def _numbers(self, first: np.ndarray) -> np.ndarray:
        """Bucket numbers `[n, block]` of the blocks that begin at rows `first` `[n]`; 0-sized images after the last row."""
        sizes = np.zeros((2, len(first), self.block), np.uint32)
        held = np.searchsorted(self.starts, first, side="right") - 1
        for piece in np.unique(held):
            own = held == piece
            rows = (first[own] - self.starts[piece])[:, None] + np.arange(self.block)
            last = len(self.pieces[piece][0]) - 1
            for size, column in zip(sizes, self.pieces[piece], strict=True):
                size[own] = np.where(rows <= last, column[np.minimum(rows, last)], 0)
        return self.assigner(*sizes)
