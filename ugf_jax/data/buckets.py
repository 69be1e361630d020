"""Buckets: the few image shapes that batches have, so that everything inside `jit` is compiled a known number of times.

An image goes to the bucket of the nearest aspect ratio. What is left of the difference is cut away or stretched away, both
within stated limits; buckets lie as far apart as these limits allow and no closer, because each is a compilation.
All comparisons use only division, multiplication and square roots, which round alike on every machine, so that hosts agree.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from ugf_jax.config import FRACTION, POSITIVE, Check, setting
from ugf_jax.errors import InputError

NO_IMAGE, OUT_OF_RANGE, RARE = -1, -2, -3  # why a row has no bucket; every bucket number is at least 0
REASONS = {NO_IMAGE: "no image", OUT_OF_RANGE: "aspect ratio out of range", RARE: "too few of its shape"}
AREAS = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)  # smallest h·w / scale² of a bucket, tried in this order
ROUNDING = 1e-9
AT_LEAST_ONE: Check = ("at least 1", lambda x: x >= 1)
BELOW_ONE: Check = ("at least 0 and below 1", lambda x: 0 <= x < 1)


@dataclasses.dataclass(frozen=True, order=True)
class Bucket:
    """A shape that whole batches have: pixels, and the scale (side of the square with about as many pixels)."""

    height: int
    width: int
    scale: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """How images may be changed to fit a bucket."""

    patch: int = setting(16, POSITIVE, "bucket sides are multiples of this many pixels")
    max_aspect: float = setting(4.0, AT_LEAST_ONE, "longest side over shortest side")
    max_stretch: float = setting(0.05, FRACTION, "one axis against the other")
    max_crop: float = setting(0.05, BELOW_ONE, "part of the image cut away, half on each side; comes before stretching")
    max_upscale: float = setting(1.25, AT_LEAST_ONE, "an image goes to the largest scale that enlarges it no more than this")


@dataclasses.dataclass(frozen=True)
class BucketSettings(FitSettings):
    """Scales of the buckets and how images may be changed to fit them."""

    scales: tuple[int, ...] = setting((256,), POSITIVE, "side in pixels of each scale's square")


def reach(settings: FitSettings) -> float:
    """The largest ratio of two aspect ratios (≥ 1) that cutting and stretching within the limits can bridge."""
    return (1 + settings.max_stretch) / (1 - settings.max_crop)


def make_buckets(settings: BucketSettings) -> tuple[Bucket, ...]:
    """The buckets of all scales, scale by scale, from the tallest to the widest; bucket numbers are positions in it.

    Raises:
      InputError: a scale is not a multiple of the patch, or the grid of patches is too coarse for the limits.
    """
    if len(set(settings.scales)) != len(settings.scales) or not settings.scales:
        raise InputError(f"config.data.scales are {settings.scales}; want at least one scale, each once")
    buckets = []
    for scale in sorted(settings.scales):
        if scale % settings.patch:
            raise InputError(f"config.data.scales: {scale} is not a multiple of config.data.patch = {settings.patch}")
        wide = _spaced(scale, settings, reach(settings))
        if wide is None:
            raise InputError(f"config.data.patch: {_too_coarse(scale, settings)}")
        buckets += [Bucket(w, h, scale) for h, w in reversed(wide[1:])] + [Bucket(h, w, scale) for h, w in wide]
    return tuple(buckets)


def _spaced(scale: int, settings: FitSettings, ratio: float) -> list[tuple[int, int]] | None:
    """The square and the fewest wide `(height, width)` whose reaches meet, with as many pixels as possible; None if none."""
    side, patch = scale // settings.patch, settings.patch
    heights, widths = np.meshgrid(np.arange(1, side + 1), np.arange(side, int(side * settings.max_aspect) + 1), indexing="ij")
    allowed = (heights * widths <= side * side) & (widths <= settings.max_aspect * heights) & (widths > heights)
    for area in AREAS:
        enough = allowed & (heights * widths >= area * side * side)
        # Widest first; of equal aspect ratio the one with more pixels first.
        candidates = sorted(
            zip(heights[enough].tolist(), widths[enough].tolist(), strict=True), key=lambda s: (-s[1] / s[0], -s[0])
        )
        chosen = [(side, side)]
        while (covered := chosen[-1][1] / chosen[-1][0] * ratio * (1 + ROUNDING)) < settings.max_aspect:
            within = (s for s in candidates if s[1] / s[0] <= covered * ratio)
            widest = next(within, chosen[-1])
            if widest[1] * chosen[-1][0] <= chosen[-1][1] * widest[0]:
                break
            chosen.append(widest)
        else:
            return [(h * patch, w * patch) for h, w in chosen]
    return None


def _too_coarse(scale: int, settings: FitSettings) -> str:
    for percent in range(1, 100):
        limit = percent / 100
        if limit >= max(settings.max_crop, settings.max_stretch) and _spaced(scale, settings, (1 + limit) / (1 - limit)):
            break
    return (
        f"patches of {settings.patch} are too coarse for images of scale {scale} that are stretched by at most "
        f"{settings.max_stretch:.0%} and cropped by at most {settings.max_crop:.0%}; "
        f"take a smaller patch, or max_stretch = max_crop = {limit}"
    )


class Assigner:
    """Bucket numbers of images by table look-up: one search per image, whatever the number of scales and buckets."""

    def __init__(self, buckets: Sequence[Bucket], settings: FitSettings):
        """Args as of `assign`."""
        scales = sorted({b.scale for b in buckets})
        intervals = [_intervals(buckets, scale, reach(settings) * (1 + ROUNDING)) for scale in scales]
        self.edges = np.unique([edge for rows in intervals for low, high, _ in rows for edge in (low, high)])
        # Cell i holds the aspect ratios from edges[i - 1] up to edges[i]; a column per scale, smallest first.
        self.numbers = np.full((len(self.edges) + 1, len(scales)), OUT_OF_RANGE, np.int16)
        self.areas = np.full(self.numbers.shape, np.inf)  # pixels an image needs for this scale
        for column, rows in enumerate(intervals):
            for low, high, number in rows:
                cells = slice(np.searchsorted(self.edges, low) + 1, np.searchsorted(self.edges, high) + 1)
                self.numbers[cells, column] = number
                self.areas[cells, column] = buckets[number].height * buckets[number].width / settings.max_upscale**2
        self.merged: np.ndarray | None = None

    def merge(self, merged: np.ndarray) -> None:
        """From now on gives `merged[number]`, int16 `[buckets]`, where it gave `number`."""
        self.merged = np.append(merged, [RARE, OUT_OF_RANGE, NO_IMAGE]).astype(np.int16)  # reasons index from the end

    def __call__(self, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """As `assign`."""
        heights, widths = np.asarray(heights, np.float64), np.asarray(widths, np.float64)
        cells = np.searchsorted(self.edges, widths / np.maximum(heights, 1), side="right")
        numbers = self.numbers[cells, 0]
        for column in range(1, self.numbers.shape[1]):
            better = (self.areas[cells, column] <= heights * widths) | (numbers < 0)
            numbers = np.where(better, self.numbers[cells, column], numbers)
        numbers = np.where((heights > 0) & (widths > 0), numbers, np.int16(NO_IMAGE))
        return numbers if self.merged is None else self.merged[numbers]


def _intervals(buckets: Sequence[Bucket], scale: int, ratio: float) -> list[tuple[float, float, int]]:
    """`(lowest, highest aspect ratio, bucket number)` of one scale: to the geometric middle, but no further than `ratio`."""
    members = sorted((b.aspect, n) for n, b in enumerate(buckets) if b.scale == scale)
    aspects = [a for a, _ in members]
    middles = [0.0, *(math.sqrt(a * b) for a, b in itertools.pairwise(aspects)), math.inf]
    return [(max(middles[i], a / ratio), min(middles[i + 1], a * ratio), n) for i, (a, n) in enumerate(members)]


def assign(heights: np.ndarray, widths: np.ndarray, buckets: Sequence[Bucket], settings: FitSettings) -> np.ndarray:
    """Bucket number of each image: nearest aspect ratio at the largest scale that does not enlarge it too much.

    Args:
      heights, widths: integers of any equal shape; 0 where there is no image.
      buckets: as from `make_buckets`.
      settings: those that `buckets` were made with.

    Returns:
      int16 of the same shape; `NO_IMAGE` or `OUT_OF_RANGE` (both negative) where there is no bucket.
    """
    return Assigner(buckets, settings)(heights, widths)


def losses(heights: np.ndarray, widths: np.ndarray, bucket: Bucket, settings: FitSettings) -> tuple[np.ndarray, np.ndarray]:
    """How much of each image is cut away to fit the bucket (a part of 1) and how much it is stretched (0: not at all).

    Cutting keeps proportions, so it comes first; what exceeds `max_crop` is stretched up to `max_stretch`; whatever
    remains (only images of a merged bucket) is cut as well.
    """
    difference = np.asarray(widths, np.float64) / np.asarray(heights, np.float64) / bucket.aspect
    ratio = np.maximum(difference, 1 / difference)
    stretch = np.clip(ratio * (1 - settings.max_crop), 1, 1 + settings.max_stretch)
    return 1 - stretch / ratio, stretch - 1


def crop_box(height: int, width: int, bucket: Bucket, settings: FitSettings) -> tuple[int, int, int, int]:
    """`(top, left, height, width)` of the central part, to the nearest pixel, that is resized to the bucket."""
    crop = float(losses(np.array(height), np.array(width), bucket, settings)[0])
    if width * bucket.height > height * bucket.width:
        kept = max(round(width * (1 - crop)), 1)
        return 0, (width - kept) // 2, height, kept
    kept = max(round(height * (1 - crop)), 1)
    return (height - kept) // 2, 0, kept, width


def fit(image: np.ndarray, bucket: Bucket, settings: FitSettings = FitSettings()) -> np.ndarray:
    """The image cut and resized to the bucket: uint8 `[H, W, 3]` → `[bucket.height, bucket.width, 3]`.

    Shrinking averages areas (antialiased), enlarging is bicubic.
    """
    top, left, height, width = crop_box(image.shape[0], image.shape[1], bucket, settings)
    part = image[top : top + height, left : left + width]
    if (height, width) == (bucket.height, bucket.width):
        return np.ascontiguousarray(part)
    shrinks = bucket.height <= height and bucket.width <= width
    return cv2.resize(part, (bucket.width, bucket.height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
