"""Buckets that too few images have: each would be one more compilation for hardly a batch, so they join a neighbour."""

from collections.abc import Sequence

import numpy as np

from ugf_jax.data.buckets import RARE, Bucket, FitSettings, losses, reach


def merge_rare(
    buckets: Sequence[Bucket], counts: np.ndarray, least: np.ndarray, max_crop: float, settings: FitSettings
) -> np.ndarray:
    """Where the images of each bucket go, int16 `[buckets]`: its own number, another's, or `RARE`.

    Again and again the bucket with the fewest images, if they are too few, joins another of its scale, or else of a smaller,
    or else of a larger one: the nearest that has too few as well, so that two rare neighbours make one good bucket, or else
    the nearest.

    Args:
      buckets: as from `make_buckets`.
      counts: integers `[buckets]`, images of each.
      least: integers `[buckets]`, how many a bucket must have.
      max_crop: no image of a merged bucket loses more than this part of its pixels.
      settings: those that `buckets` were made with.
    """
    counts = np.asarray(counts).copy()
    merged = np.arange(len(buckets), dtype=np.int16)
    while len(few := np.flatnonzero((counts > 0) & (counts < least))):
        rarest = int(few[np.argmin(counts[few])])
        members = np.flatnonzero(merged == rarest).tolist()
        options = []
        for target in np.flatnonzero(counts > 0).tolist():
            if target != rarest:
                crop = max(_worst_crop(buckets[member], buckets[target], settings) for member in members)
                if crop <= max_crop:
                    far = _distance(buckets[rarest].scale, buckets[target].scale)
                    options.append((far, bool(counts[target] >= least[target]), crop, target))
        target = min(options)[-1] if options else RARE
        merged[members] = target
        if options:
            counts[target] += counts[rarest]
        counts[rarest] = 0
    return merged


def _distance(source: int, target: int) -> tuple[int, float]:
    """Orders scales: the own one, smaller ones (nothing is invented), larger ones; near ones first."""
    return (0 if target == source else 1 if target < source else 2), max(source / target, target / source)


def _worst_crop(source: Bucket, target: Bucket, settings: FitSettings) -> float:
    """The largest crop that an image of `source` may need to fit `target`."""
    aspects = source.aspect * np.array([1 / reach(settings), reach(settings)])
    return float(losses(np.ones(2), aspects, target, settings)[0].max())
