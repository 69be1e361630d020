"""Images a second and core of the loader against a plain Pillow loop and a PyTorch DataLoader (where torch is installed).

  python benchmarks/loader.py                      # photo-like JPEG made on the spot
  python benchmarks/loader.py --data=data/clipart  # a prepared dataset

All of them deliver the same batches, in the same order: encoded image → RGB → central crop → bucket shape → uint8 array
(tensor). That is checked first. Peers read one file per image and resize with Pillow's antialiased bicubic filter in the
main process or in worker processes; the loader reads ArrayRecord and uses threads. Runs are interleaved and the best of
`--repeats` counts. CPU time includes all threads and worker processes, so that `images / CPU s` is the rate of one core also
on a machine that has other work; `images / s` is by the clock.
"""

import collections
import importlib.util
import io
import itertools
import os
import pathlib
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np
import rich.console
import rich.table
from absl import app, flags
from PIL import Image

from ugf_jax.data.buckets import crop_box
from ugf_jax.data.loader import DataSettings, Loader
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset

DATA = flags.DEFINE_string("data", "", "A prepared dataset; empty: photo-like JPEG made on the spot.")
SCALE = flags.DEFINE_integer("scale", 256, "Scale of the buckets.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Images of a batch.")
BATCHES = flags.DEFINE_integer("batches", 48, "Batches of a run.")
WORKERS = flags.DEFINE_multi_integer("workers", [1, 2], "Threads of the loader, worker processes of the DataLoader.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Runs of each; the best counts.", lower_bound=3)
IMAGES = flags.DEFINE_integer("images", 400, "Photo-like images to make.")
MEAN_DIFFERENCE = 3.0  # of 255: averaging areas and bicubic filtering differ at edges

Batches = Iterator[np.ndarray]


def photo(index: int) -> Image.Image:
    """A picture with the spectrum of photographs (amplitude ~ 1 / frequency) and edges; long side 640, as in COCO."""
    rng = np.random.default_rng(index)
    height, width = [(480, 640), (640, 480), (427, 640), (640, 427), (360, 640), (640, 640)][index % 6]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) + 1 / 640
    planes = []
    for _ in range(3):
        noise = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
        plane = np.fft.irfft2(noise / frequency, s=(height, width))
        planes.append(plane / plane.std())
    mixed = np.stack(planes, axis=-1) @ np.array([[1, 1, 1], [0.3, 0, -0.3], [0.1, -0.2, 0.1]])
    for _ in range(6):
        top, left = rng.integers(0, height), rng.integers(0, width)
        mixed[top : top + height // 4, left : left + width // 4] += rng.normal(size=3)
    return Image.fromarray(np.clip(128 + 45 * mixed, 0, 255).astype(np.uint8))


def make_photos(folder: str, count: int) -> None:
    """Writes a prepared dataset of `photo`s as JPEG of quality 90."""
    records = []
    for index in range(count):
        file, made = io.BytesIO(), photo(index)
        made.save(file, "JPEG", quality=90)
        records.append(Record(key=f"{index}", images=(file.getvalue(),), sizes=((made.height, made.width),)))
    write_dataset(folder, records)


class PillowImages:
    """One file per image; `images[row, bucket]` is what everybody writes first. The map-style dataset for the DataLoader."""

    def __init__(self, loader: Loader, folder: pathlib.Path):
        """Copies the images out of the loader's dataset."""
        self.settings, self.folder = loader.settings, folder
        for row in {row for step in range(BATCHES.value) for row in loader.plan.batch(step).rows.tolist()}:
            (folder / str(row)).write_bytes(loader.datasets[0].image(row))

    def __getitem__(self, item: tuple[int, Any]) -> np.ndarray:
        """uint8 `[bucket.height, bucket.width, 3]`."""
        row, bucket = item
        with Image.open(self.folder / str(row)) as image:
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB")
            top, left, height, width = crop_box(image.height, image.width, bucket, self.settings)
            box = (left, top, left + width, top + height)
            return np.asarray(image.resize((bucket.width, bucket.height), Image.Resampling.BICUBIC, box=box))


def planned(loader: Loader) -> list[list[tuple[int, Any]]]:
    """The rows and the bucket of each batch."""
    buckets = loader.all_buckets
    batches = [loader.plan.batch(step) for step in range(BATCHES.value)]
    return [[(row, buckets[b.bucket]) for row in b.rows.tolist()] for b in batches]


def ours(settings: DataSettings) -> Batches:
    """The loader."""
    batches = Loader(settings).iterate(0)
    for batch in itertools.islice(batches, BATCHES.value):
        yield batch.arrays["image"]
    batches.close()


def pillow(images: PillowImages, plan: list[list[tuple[int, Any]]]) -> Batches:
    """The plain loop."""
    for batch in plan:
        yield np.stack([images[item] for item in batch])


def torch_loader(images: PillowImages, plan: list[list[tuple[int, Any]]], workers: int) -> Batches:
    """PyTorch's DataLoader with the plan as its batch sampler."""
    import torch
    from torch.utils import data

    torch.set_num_threads(1)

    def collate(items: list[np.ndarray]) -> Any:
        return torch.from_numpy(np.stack(items))

    for batch in data.DataLoader(images, batch_sampler=plan, num_workers=workers, collate_fn=collate):  # type: ignore[arg-type]
        yield batch.numpy()


def cpu_seconds() -> float:
    """User and system time of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def measure(run: Callable[[], Batches]) -> tuple[float, float]:
    """Images a second by the clock, and a second of CPU time."""
    start, cpu = time.perf_counter(), cpu_seconds()
    count = sum(len(batch) for batch in run())
    return count / (time.perf_counter() - start), count / (cpu_seconds() - cpu)


def compare(folder: str, copies: pathlib.Path) -> None:
    """Checks that all deliver the same images, measures, and prints the table."""
    settings = DataSettings(datasets=(folder,), scales=((SCALE.value, BATCH_SIZE.value),), seed=0)
    loader = Loader(settings)
    images, plan = PillowImages(loader, copies), planned(loader)
    runs: dict[str, Callable[[], Batches]] = {}
    for workers in WORKERS.value:
        threads = DataSettings(**{**vars(settings), "threads": workers})
        runs[f"ugf_jax loader, {workers} threads"] = lambda threads=threads: ours(threads)
    runs["Pillow loop"] = lambda: pillow(images, plan)
    if importlib.util.find_spec("torch"):
        for workers in WORKERS.value:
            runs[f"PyTorch DataLoader, {workers} workers"] = lambda workers=workers: torch_loader(images, plan, workers)

    for name, run in runs.items():
        for mine, other in zip(runs[next(iter(runs))](), run(), strict=True):
            difference = float(np.abs(mine.astype(np.int16) - other).mean())
            assert mine.shape == other.shape, name
            assert difference < MEAN_DIFFERENCE, (name, difference)
    results = collections.defaultdict(list)
    for _ in range(REPEATS.value):
        for name, run in runs.items():
            results[name].append(measure(run))

    best = {name: np.max(values, axis=0) for name, values in results.items()}
    peer = best["Pillow loop"]
    table = rich.table.Table("", "images / s", "images / CPU s", "× Pillow loop (s)", "× Pillow loop (CPU s)")
    for name, rates in best.items():
        table.add_row(name, *(f"{r:.0f}" for r in rates), *(f"{r / p:.2f}" for r, p in zip(rates, peer, strict=True)))
    print(f"{loader.summary()}; scale {SCALE.value}, {BATCHES.value} batches of {BATCH_SIZE.value}, best of {REPEATS.value}")
    names = ["numpy", "pillow", "simplejpeg", "opencv-python-headless", "grain", "array-record", "torch"]
    versions = [f"{n} {metadata.version(n)}" for n in names if n != "torch" or importlib.util.find_spec("torch")]
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {sys.version.split()[0]}, " + ", ".join(versions))
    rich.console.Console(width=110).print(table)


def main(_: list[str]) -> None:
    """Makes the data where none is named, then compares."""
    with tempfile.TemporaryDirectory(prefix="ugf-loader-") as temporary:
        copies = pathlib.Path(temporary) / "copies"
        copies.mkdir()
        if not DATA.value:
            make_photos(f"{temporary}/photos", IMAGES.value)
        compare(DATA.value or f"{temporary}/photos", copies)


if __name__ == "__main__":
    app.run(main)
