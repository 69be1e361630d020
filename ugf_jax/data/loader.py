"""Batches of images at bucket shapes, read ahead by threads; the same on any number of hosts and from any step.

Each global batch is known from the plan before anything is read. Host `p` of `P` loads its slice of it, cut into one part
per thread, so that all threads work on the batch that is needed next and memory is bounded by `prefetch` batches.
"""

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Generator

import cv2
import numpy as np

from ugf_jax.config import NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.data import image
from ugf_jax.data.ahead import Batch, batches_ahead
from ugf_jax.data.buckets import BELOW_ONE, REASONS, Bucket, BucketSettings, FitSettings, fit, make_buckets
from ugf_jax.data.index import Dataset, open_datasets
from ugf_jax.data.mixture import draws_per_epoch, merged_draws
from ugf_jax.data.permutation import key
from ugf_jax.data.plan import Plan
from ugf_jax.data.ranks import Ranks
from ugf_jax.data.rare import merge_rare
from ugf_jax.errors import InputError

PLAN_VERSION = 1  # changes whenever the same settings would give other batches
FLIP = 4  # tells its keys from those of the plan
CHECKED = image.ImageLimits(max_pixels=sys.maxsize, max_aspect=math.inf)  # limits were applied when preparing


@dataclasses.dataclass(frozen=True)
class DataSettings(FitSettings):
    """What to load, at which sizes, in which order."""

    datasets: tuple[str, ...] = setting((), doc="folders made by `ugf prepare`")
    weights: tuple[float, ...] = setting((), POSITIVE, "share of each dataset; empty: every image once an epoch")
    scales: tuple[tuple[int, int], ...] = setting(((256, 64),), POSITIVE, "(side of the square, global batch size) of each")
    min_bucket_images: int = setting(0, NOT_NEGATIVE, "fewer join a neighbouring bucket; never less than one batch")
    max_rare_crop: float = setting(0.25, BELOW_ONE, "part of an image that joining a neighbour may cut away")
    seed: int = setting(0, NOT_NEGATIVE)
    flip: bool = setting(False, doc="mirror every other image, left to right")
    threads: int = setting(0, NOT_NEGATIVE, "threads that read and decode; 0: one per core, at most 16")
    prefetch: int = setting(2, POSITIVE, "batches loaded ahead")

    @property
    def bucket_settings(self) -> BucketSettings:
        """The part that makes buckets."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(FitSettings)}
        return BucketSettings(scales=tuple(scale for scale, _ in self.scales), **shared)

    def validate(self, path: str) -> None:
        """Refuses weights that do not match the datasets."""
        if self.weights and len(self.weights) != len(self.datasets):
            raise InputError(
                f"{path}.weights has {len(self.weights)} values; want one for each of {len(self.datasets)} datasets"
            )


class Loader:
    """Endless batches from prepared datasets, each of one bucket.

    Their arrays: `image` uint8 `[b, h, w, 3]`, `row` int64 `[b]` (row of the dataset's index), `dataset` int16 `[b]`.

    Attributes:
      datasets: the opened datasets.
      buckets: those that batches have, each a shape to compile.
      all_buckets: those that could be; the plan's bucket numbers are positions in it.
      plan: which images are in which batch.
      batches_per_epoch: batches of every epoch.
      identity: what the batches depend on, JSON-compatible; equal exactly where the batches are.
      fingerprint: SHA-256 of the identity.
    """

    def __init__(self, settings: DataSettings, process_index: int = 0, process_count: int = 1):
        """Opens the datasets and makes the plan.

        Raises:
          InputError: a folder that is not a prepared dataset, a batch size that the processes do not divide, no bucket
            with enough images for a batch, or settings that do not go together.
        """
        settings.validate("config.data")
        self.settings, self.process_index, self.process_count = settings, process_index, process_count
        for scale, size in settings.scales:
            if size % process_count:
                raise InputError(
                    f"config.data.scales: batch size {size} of scale {scale} is not a multiple of the {process_count} processes"
                )
        self.datasets = open_datasets(settings.datasets, "config.data.datasets")
        self.all_buckets = make_buckets(settings.bucket_settings)
        self.plan = _plan(settings, self.datasets, self.all_buckets)
        self.buckets = tuple(b for b, count in zip(self.all_buckets, self.plan.batches, strict=True) if count)
        self.batches_per_epoch = self.plan.batches_per_epoch
        self.identity = self._identity()
        self.fingerprint = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()
        cv2.setNumThreads(1)  # images are resized side by side; threads inside each would only get in each other's way

    def batch_size(self, bucket: Bucket) -> int:
        """Images of a global batch of this bucket."""
        return dict(self.settings.scales)[bucket.scale]

    def specs(self, bucket: Bucket) -> dict[str, tuple[tuple[int, ...], type]]:
        """Global shape and dtype of the arrays that training needs."""
        return {"image": ((self.batch_size(bucket), bucket.height, bucket.width, 3), np.uint8)}

    def _identity(self) -> dict[str, object]:
        settings = self.settings
        data: dict[str, object] = {"plan": PLAN_VERSION, "seed": settings.seed, "flip": settings.flip}
        for number, dataset in enumerate(self.datasets):
            data[f"datasets[{number}]"] = dataset.fingerprint
        data["weights"] = list(settings.weights)
        data["scales"] = [list(pair) for pair in settings.scales]
        for name in (*(f.name for f in dataclasses.fields(FitSettings)), "min_bucket_images", "max_rare_crop"):
            data[name] = getattr(settings, name)
        data["buckets"] = [f"{b.height}x{b.width}@{b.scale}" for b in self.buckets]
        return data

    def summary(self) -> str:
        """One line for the log: images, buckets, batches, and what is left over or left out."""
        images, draws = int(self.plan.counts.sum()), self.plan.draws.sum(axis=0)
        left_over = int((draws - self.plan.batches * self.plan.batch_sizes).sum())
        parts = [f"{images} images in {len(self.buckets)} buckets", f"{self.batches_per_epoch} batches an epoch"]
        parts.append(f"{left_over} left over")
        reasons: dict[int, int] = {}
        for ranks in self.plan.ranks:
            for reason, count in ranks.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
        parts += [f"{count} without a bucket ({REASONS[reason]})" for reason, count in sorted(reasons.items())]
        return ", ".join(parts)

    def iterate(self, start_step: int = 0) -> Generator[Batch, None, None]:
        """Endless batches from `start_step` on; the position in the data is the step and nothing else.

        Raises:
          InputError: an image that was readable when the dataset was prepared is not any more.
        """
        smallest = min(size for _, size in self.settings.scales) // self.process_count
        return batches_ahead(self._load, start_step, smallest, self.settings)

    def _load(self, step: int, part: int, parts: int) -> Batch:
        """A part of this host's slice of the batch of `step`."""
        size = self.batch_size(self.all_buckets[self.plan.bucket(step)]) // self.process_count
        first = self.process_index * size
        planned = self.plan.batch(step, first + size * part // parts, first + size * (part + 1) // parts)
        bucket = self.all_buckets[planned.bucket]
        images = np.empty((len(planned.rows), bucket.height, bucket.width, 3), np.uint8)
        for i, (dataset, row) in enumerate(zip(planned.datasets.tolist(), planned.rows.tolist(), strict=True)):
            images[i] = fit(read_image(self.datasets[dataset], row), bucket, self.settings)
        if self.settings.flip:
            mirrored = key(self.settings.seed, FLIP, planned.epoch, planned.datasets, planned.rows) % np.uint64(2) == 1
            images[mirrored] = images[mirrored, :, ::-1]
        return Batch(bucket, {"image": images, "row": planned.rows, "dataset": planned.datasets}, planned.epoch)


def _plan(settings: DataSettings, datasets: list[Dataset], buckets: tuple[Bucket, ...]) -> Plan:
    ranks = [Ranks(((h, w) for _, h, w in d.size_chunks()), buckets, settings) for d in datasets]
    counts = np.stack([r.counts for r in ranks])
    for number, folder in enumerate(settings.datasets):
        if not counts[number].any():
            reasons = ", ".join(f"{count} rows: {REASONS[reason]}" for reason, count in ranks[number].reasons.items())
            raise InputError(
                f"config.data.datasets[{number}]: {folder} has no image that fits a bucket ({reasons or 'it is empty'})"
            )
    sizes = np.array([dict(settings.scales)[b.scale] for b in buckets])
    draws = draws_per_epoch(counts, settings.weights)
    least = np.maximum(sizes, settings.min_bucket_images)
    merged = merge_rare(buckets, draws.sum(axis=0), least, settings.max_rare_crop, settings)
    if (merged < 0).all() or not merged_draws(draws, merged).any():
        images = draws.sum(axis=0)
        fullest = int(np.argmax(images))
        name = "batch size" if least[fullest] == sizes[fullest] else "config.data.min_bucket_images"
        raise InputError(
            f"config.data.scales: no bucket has enough images for a batch; the fullest, {buckets[fullest]} of scale "
            f"{buckets[fullest].scale}, has {images[fullest]} and needs {least[fullest]}; "
            f"take a {name} of at most {images[fullest]}"
        )
    for own in ranks:
        own.merge(merged)
    return Plan(ranks, merged_draws(draws, merged), sizes, settings.seed)


def read_image(dataset: Dataset, row: int) -> np.ndarray:
    """The decoded image of a row, uint8 `[H, W, 3]`.

    Raises:
      InputError: it was readable when the dataset was prepared and is not any more.
    """
    try:
        return image.decode(dataset.image(row), CHECKED)
    except image.ImageRejected as error:
        raise InputError(
            f"{dataset.folder}: image of '{dataset.key(row)}' (row {row}) is damaged: {error}; "
            "it was readable when prepared: copy the dataset again or prepare it again"
        ) from error
