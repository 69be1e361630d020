"""What a prepared dataset holds, counted: sizes against buckets, and texts."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ugf_jax.data.buckets import REASONS, Bucket, FitSettings, losses
from ugf_jax.data.index import Dataset
from ugf_jax.data.ranks import Ranks
from ugf_jax.data.rare import merge_rare
from ugf_jax.data.records import Record

CHUNK = 2**18


@dataclasses.dataclass
class BucketUse:
    """What becomes of the images nearest to one bucket.

    Attributes:
      bucket: the nearest.
      images: how many.
      target: the bucket they train in; another one, or None, where they are too few.
      crop_mean, crop_max: part of an image cut away in the target, 0 to 1.
      stretch_mean, stretch_max: how much one axis is stretched against the other, 0: not at all.
      enlarge_max: linear enlargement of the smallest image, over 1 where it has fewer pixels than the bucket.
    """

    bucket: Bucket
    images: int
    target: Bucket | None
    crop_mean: float = 0.0
    crop_max: float = 0.0
    stretch_mean: float = 0.0
    stretch_max: float = 0.0
    enlarge_max: float = 0.0


def bucket_uses(
    dataset: Dataset, buckets: Sequence[Bucket], settings: FitSettings, batch_size: int, max_crop: float
) -> tuple[list[BucketUse], dict[str, int]]:
    """Goes once through the sizes of all images.

    Args:
      dataset: a prepared dataset.
      buckets: as from `make_buckets`.
      settings: those that `buckets` were made with.
      batch_size: images without which a bucket is no use; see `ugf_jax.data.rare`.
      max_crop: part of an image that may be lost in another bucket.

    Returns:
      the use of each bucket that has images, and rows without a bucket by reason.
    """
    sizes = [(h, w) for _, h, w in dataset.size_chunks()]
    ranks = Ranks(sizes, buckets, settings)
    merged = merge_rare(buckets, ranks.counts, np.full(len(buckets), batch_size), max_crop, settings)
    targets = [buckets[n] if n >= 0 else None for n in merged.tolist()]
    uses = [BucketUse(b, int(n), t) for b, n, t in zip(buckets, ranks.counts, targets, strict=True)]
    for heights, widths in sizes:
        for start in range(0, len(heights), CHUNK):
            _add(uses, ranks, heights[start : start + CHUNK], widths[start : start + CHUNK], settings)
    return [u for u in uses if u.images], {REASONS[r]: n for r, n in sorted(ranks.reasons.items())}


def _add(uses: list[BucketUse], ranks: Ranks, heights: np.ndarray, widths: np.ndarray, settings: FitSettings) -> None:
    numbers = ranks.assigner(heights, widths)
    for number in np.unique(numbers[numbers >= 0]).tolist():
        use, own = uses[number], numbers == number
        bucket = use.target or use.bucket
        crop, stretch = losses(heights[own], widths[own], bucket, settings)
        enlarge = np.sqrt(bucket.height * bucket.width / (heights[own].astype(np.float64) * widths[own]))
        use.crop_mean += float(crop.sum()) / use.images
        use.stretch_mean += float(stretch.sum()) / use.images
        use.crop_max = max(use.crop_max, float(crop.max()))
        use.stretch_max = max(use.stretch_max, float(stretch.max()))
        use.enlarge_max = max(use.enlarge_max, float(enlarge.max()))


def spread(numbers: np.ndarray, count: int) -> list[int]:
    """Up to `count` rows that show all buckets about equally: one of each in turn, evenly through the rows of a bucket.

    Args:
      numbers: integers `[rows]`, bucket of each row; negative: none.
      count: how many.
    """
    columns = []
    for number in np.unique(numbers[numbers >= 0]):
        rows = np.flatnonzero(numbers == number)
        columns.append(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)].tolist())
    turns = [column[i] for i in range(count) for column in columns if i < len(column)]
    return turns[:count]


def text_statistics(records: Iterable[Record]) -> dict[str, Any]:
    """Counts of captions, conversations and questions, and how long captions are.

    Returns:
      JSON-compatible: `records`, `with_captions`, `captions`, `distinct_captions`, `words` (mean and percentiles of the
      words of a caption), `with_turns`, `with_questions`, `questions`, `with_scene`, `with_codes`.
    """
    counts = dict.fromkeys(("records", "with_captions", "captions", "with_turns", "with_questions", "questions"), 0)
    counts |= {"with_scene": 0, "with_codes": 0}
    words: list[int] = []
    distinct: set[str] = set()
    for record in records:
        counts["records"] += 1
        counts["with_captions"] += bool(record.captions)
        counts["captions"] += len(record.captions)
        counts["with_turns"] += bool(record.turns)
        counts["with_questions"] += bool(record.questions)
        counts["questions"] += len(record.questions)
        counts["with_scene"] += record.scene is not None
        counts["with_codes"] += bool(record.codes)
        words += [len(c.split()) for c in record.captions]
        distinct.update(record.captions)
    found: dict[str, Any] = {**counts, "distinct_captions": len(distinct)}
    if words:
        percentiles = np.percentile(words, [5, 50, 95, 100])
        found["words"] = {"mean": float(np.mean(words))} | {
            name: float(p) for name, p in zip(("p5", "median", "p95", "max"), percentiles, strict=True)
        }
    return found
