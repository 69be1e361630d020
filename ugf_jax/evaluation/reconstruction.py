"""Task `reconstruction`: how much of held-out images comes back from the master codes alone and with the auxiliary codes.

Images keep their native size. Beside each reconstruction stand JPEG and WebP files of the same number of bytes.
"""

import concurrent.futures
import dataclasses
import itertools
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from ugf_jax.data.image import ImageRejected, decode
from ugf_jax.data.index import Dataset
from ugf_jax.data.records import ImageCodes
from ugf_jax.errors import InputError
from ugf_jax.evaluation.sample import Sample, Tokenizer, measure_image
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.shapes import ShapeBatch, plan_batches
from ugf_jax.progress import Progress

VERSION = 1  # of the numbers: rises whenever the same checkpoint and images would give others


@dataclasses.dataclass(frozen=True)
class ReconstructionSettings:
    """What is measured.

    Attributes:
      limit: number of images, evenly spaced over the dataset; None for all.
      keeps: shares of auxiliary positions of the rate–distortion curve; 0, the master alone, is measured anyway.
      rate_images: about how many images the curve is measured on; whole batches, evenly spaced.
      codecs: to compare with.
      batch_pixels: upper limit of one batch.
      threads: batches in work at once; they share the device. The results do not depend on it.
    """

    limit: int | None = None
    keeps: tuple[float, ...] = (0.125, 0.25, 0.5, 0.75, 1.0)
    rate_images: int = 64
    codecs: tuple[str, ...] = ("jpeg", "webp")
    batch_pixels: int = 2**20
    threads: int = min(os.cpu_count() or 1, 8)

    def identity(self) -> dict[str, Any]:
        """What the results depend on."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "threads"}


@dataclasses.dataclass(frozen=True)
class BatchResult:
    """A batch through the tokenizer; arrays are uint8 `[size, *canvas, 3]`, uncropped.

    Attributes:
      images: the decoded images by row, each `[height, width, 3]`, or why one was refused.
      master: from the master codes alone.
      full: from master and auxiliary codes.
      codes: of every image.
      rates: for each share of positions kept, codes and images.
    """

    images: list[np.ndarray | ImageRejected]
    master: np.ndarray
    full: np.ndarray
    codes: list[ImageCodes]
    rates: dict[float, tuple[list[ImageCodes], np.ndarray]]


def plan(tokenizer: Tokenizer, dataset: Dataset, settings: ReconstructionSettings) -> tuple[list[ShapeBatch], set[int]]:
    """The batches, and the numbers of those on which the rate–distortion curve is measured.

    Raises:
      InputError: the dataset holds no image.
    """
    heights, widths = np.asarray(dataset.heights), np.asarray(dataset.widths)
    batches = plan_batches(heights, widths, tokenizer.padded_shape, settings.limit, settings.batch_pixels)
    total = sum(len(b.rows) for b in batches)
    if not total:
        raise InputError(f"{dataset.folder}: no images to evaluate; name a dataset with images")
    # The batches in which an evenly spaced selection of `rate_images` images lies.
    starts = np.cumsum([0, *(len(b.rows) for b in batches)])
    wanted = np.arange(min(settings.rate_images, total)) * total // max(1, min(settings.rate_images, total))
    return batches, set((np.searchsorted(starts, wanted, side="right") - 1).tolist()) if settings.rate_images else set()


def measure(
    tokenizer: Tokenizer, dataset: Dataset, settings: ReconstructionSettings, log: SampleLog, quiet: bool = False
) -> list[Sample]:
    """Measures every image that `log` does not hold yet and returns all samples in order of rows.

    One batch is the unit of work: batches are the same after a kill, so that results are too.
    """
    batches, rated = plan(tokenizer, dataset, settings)
    rows = [row for batch in batches for row in batch.rows]
    todo = [i for i, batch in enumerate(batches) if not all(row in log.samples for row in batch.rows)]
    done = sum(row in log.samples for row in rows)
    pool = concurrent.futures.ThreadPoolExecutor(settings.threads)
    # Batches of one canvas take turns, or each would compile the same programs.
    turns = {batch.canvas: threading.Lock() for batch in batches}

    def start(number: int) -> concurrent.futures.Future[list[Sample]]:
        keeps = settings.keeps if number in rated else ()
        batch = batches[number]
        return pool.submit(_measure_batch, tokenizer, dataset, batch, keeps, settings.codecs, turns[batch.canvas])

    with Progress("evaluate reconstruction", len(rows), "images", done=done, quiet=quiet) as progress:
        try:
            # Threads overlap compiling, computing and measuring; the log is written in the order of the plan.
            waiting = iter(todo)
            running = deque(start(number) for number in itertools.islice(waiting, settings.threads + 1))
            while running:
                samples = running.popleft().result()
                running.extend(start(number) for number in itertools.islice(waiting, 1))
                new = sum(sample["row"] not in log.samples for sample in samples)
                log.append(samples)
                progress.advance(new, canvas="×".join(map(str, samples[0]["canvas"])))
        finally:
            pool.shutdown(cancel_futures=True)
    return [log.samples[row] for row in sorted(rows)]


def read_batch(dataset: Dataset, batch: ShapeBatch) -> list[np.ndarray | ImageRejected]:
    """Decoded images of a batch, or why one was refused."""
    return [_read(dataset, row) for row in batch.rows]


def run_batch(
    tokenizer: Tokenizer, batch: ShapeBatch, images: list[np.ndarray | ImageRejected], keeps: Sequence[float] = ()
) -> BatchResult:
    """Encodes and decodes a batch; a refused image is computed as white and not counted."""
    canvas = np.full((batch.size, *batch.canvas, 3), 255, np.uint8)
    for i in range(batch.size):
        image = images[min(i, len(images) - 1)]
        if isinstance(image, np.ndarray):
            bottom, right = (c - s for c, s in zip(batch.canvas, image.shape, strict=False))
            canvas[i] = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")
    codes = tokenizer.encode(canvas)
    master = tokenizer.decode(codes, batch.canvas, levels=0)
    full = tokenizer.decode(codes, batch.canvas)
    rates = {}
    for keep in keeps:
        kept = tokenizer.encode(canvas, keep)
        rates[keep] = kept, tokenizer.decode(kept, batch.canvas)
    return BatchResult(images, master, full, codes, rates)


def _read(dataset: Dataset, row: int) -> np.ndarray | ImageRejected:
    try:
        return decode(dataset.image(row))
    except ImageRejected as rejected:
        return rejected


def _measure_batch(
    tokenizer: Tokenizer,
    dataset: Dataset,
    batch: ShapeBatch,
    keeps: Sequence[float],
    codec_names: Sequence[str],
    turn: threading.Lock,
) -> list[Sample]:
    images = read_batch(dataset, batch)
    with turn:
        result = run_batch(tokenizer, batch, images, keeps)
    samples = []
    for n, (row, image) in enumerate(zip(batch.rows, result.images, strict=True)):
        sample: Sample = {"row": row, "key": dataset.key(row), "canvas": list(batch.canvas)}
        if isinstance(image, ImageRejected):
            sample["rejected"] = str(image)
        else:
            rates = {keep: (codes[n], pixels[n]) for keep, (codes, pixels) in result.rates.items()}
            master, full = result.master[n], result.full[n]
            sample |= measure_image(image, result.codes[n], master, full, rates, tokenizer.bits, codec_names)
        samples.append(sample)
    return samples
