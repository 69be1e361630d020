"""How many images each dataset gives to an epoch."""

from collections.abc import Sequence

import numpy as np


def draws_per_epoch(counts: np.ndarray, weights: Sequence[float] = ()) -> np.ndarray:
    """How many images each dataset gives to each bucket in an epoch, int64 `[datasets, buckets]`.

    An epoch has as many images as all datasets together. Within a dataset every bucket is drawn from in proportion, so
    that an epoch has the same batches whichever images are drawn; a bucket that has images gives at least one.

    Args:
      counts: integers `[datasets, buckets]`, images there are; no dataset without any.
      weights: share of each dataset in the mixture, not necessarily summing to 1; empty: each image once an epoch.
    """
    counts = np.asarray(counts, np.int64)
    if not len(weights):
        return counts.copy()
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    repeats = shares * counts.sum() / counts.sum(axis=1)
    return np.where(counts > 0, np.maximum(np.floor(counts * repeats[:, None] + 0.5).astype(np.int64), 1), 0)


def merged_draws(draws: np.ndarray, merged: np.ndarray) -> np.ndarray:
    """Draws `[datasets, buckets]` after the images of bucket `b` went to `merged[b]`, or nowhere where that is negative."""
    result = np.zeros_like(draws)
    np.add.at(result.T, merged[merged >= 0], draws.T[merged >= 0])
    return result
