"""How many images or records each dataset gives to an epoch, and which."""

from collections.abc import Sequence

import numpy as np

from ugf_jax.data.permutation import key, permute

DRAWS, PASS = 2, 3  # tell apart the keys made from one seed (`plan` and its users have others)


def draws_per_epoch(counts: np.ndarray, weights: Sequence[float] = ()) -> np.ndarray:
    """How many images each dataset gives to each bucket in an epoch, int64 `[datasets, buckets]`.

    An epoch has as many images as all datasets together. Within a dataset every bucket is drawn from in proportion, so
    that an epoch has the same batches whichever images are drawn; a bucket that has images gives at least one.

    Args:
      counts: integers `[datasets, buckets]`, images there are (or records, of one bucket); no dataset without any.
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


def drawn(
    positions: np.ndarray, draws: np.ndarray, counts: np.ndarray, seed: int, epoch: int, bucket: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which image stands at each of some positions of an epoch's order.

    Every dataset is an endless sequence of *passes*; each pass has every image once, in an order of its own. An epoch takes
    the next `draws` of each dataset and shuffles them together.

    Args:
      positions: integers `[n]` in `[0, draws.sum())`.
      draws: int64 `[datasets]`, how many each dataset gives to an epoch.
      counts: int64 `[datasets]`, how many there are.
      seed, epoch, bucket: tell one order from another.

    Returns:
      int64 `[n]` each: the dataset, the number within it, and the pass.
    """
    ends = np.cumsum(draws)
    shuffled = permute(positions, int(ends[-1]), key(seed, DRAWS, epoch, bucket))
    datasets = np.searchsorted(ends, shuffled, side="right")
    taken = epoch * draws[datasets] + shuffled - (ends - draws)[datasets]
    passes, within = np.divmod(taken, counts[datasets])
    return datasets, permute(within, counts[datasets], key(seed, PASS, datasets, bucket, passes)), passes
