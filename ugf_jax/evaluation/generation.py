"""Task `generation`: does a picture show what its prompt asked for?

Prompts are those of the generated set `shapes`, whose demands a program checks: no judge model, no reference pictures. They
name combinations that training never showed.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from etils import epath

from ugf_jax.data import shapes
from ugf_jax.data.image import decode
from ugf_jax.errors import InputError
from ugf_jax.evaluation.batches import grouped, measure_batches
from ugf_jax.evaluation.metrics import Estimate, estimate
from ugf_jax.evaluation.model import BATCH, Drawer
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import Variants

VERSION = 1  # of the numbers: rises whenever the same model and settings would give others
ATTRIBUTES = ("shape", "colour", "count", "size", "position", "relation", "background")


@dataclasses.dataclass(frozen=True)
class DrawingSettings:
    """What is drawn.

    Attributes:
      prompts: number of prompts; categories take turns.
      split: of the prompts.
      sizes: (height, width) of the pictures in pixels; every category is drawn in each of them.
      seed: of the first picture.
      batch: pictures drawn together, all of one size.
    """

    prompts: int = 1000
    split: str = "test"
    sizes: tuple[tuple[int, int], ...] = ((256, 256), (192, 320), (320, 192))
    seed: int = 0
    batch: int = BATCH

    def identity(self) -> dict[str, Any]:
        """What the results depend on."""
        return dataclasses.asdict(self)

    def size(self, row: int) -> tuple[int, int]:
        """Height and width of picture `row`."""
        return self.sizes[row // len(shapes.CATEGORIES) % len(self.sizes)]


def measure(model: Drawer, settings: DrawingSettings, log: SampleLog, folder: epath.Path, quiet: bool = False) -> list[Sample]:
    """Draws every prompt that `log` does not hold yet and checks the pictures, which are kept in `folder`.

    Returns:
      for each prompt `prompt`, `category`, `height`, `width`, `right` (by attribute that the prompt speaks of), and the
      `objects` and the `background` that were found.

    Raises:
      InputError: a picture has not the size that was asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    batches = grouped(range(settings.prompts), settings.size, settings.batch)
    starts = dict(zip(batches, np.cumsum([0] + [len(b) for b in batches]).tolist(), strict=False))

    def compute(rows: tuple[int, ...]) -> list[Sample]:
        prompts = [shapes.prompt(row, settings.split) for row in rows]
        size = settings.size(rows[0])
        pictures = model.generate_image([text for text, _ in prompts], size, settings.seed + starts[rows])
        samples = []
        for row, (text, requirement), picture in zip(rows, prompts, pictures, strict=True):
            if picture.shape != (*size, 3):
                raise InputError(f"generation: a picture is {picture.shape}, asked for {(*size, 3)}")
            picture_file(folder, row).write_bytes(shapes.encode_png(picture))
            samples.append({"prompt": text, "height": size[0], "width": size[1], **check(picture, requirement)})
        return samples

    return measure_batches("generation", batches, compute, log, quiet)


def check(picture: np.ndarray, requirement: shapes.Requirement) -> Sample:
    """Which attributes are right in a picture, and what it shows instead."""
    found = shapes.find(picture).scene
    return {
        "category": requirement.category,
        "right": shapes.satisfies(found, requirement),
        "objects": [f"{o.size} {o.colour} {o.shape} {o.position}" for o in found.objects],
        "background": found.background,
    }


def picture_file(folder: epath.Path, row: int) -> epath.Path:
    """Where picture `row` is kept."""
    return folder / f"{row:06d}.png"


def read_picture(folder: epath.Path, row: int) -> np.ndarray:
    """Picture `row` of a finished evaluation, uint8 `[height, width, 3]`.

    Raises:
      InputError: it is gone.
    """
    path = picture_file(folder, row)
    if not path.exists():
        raise InputError(f"{path}: missing; delete {folder.parent} to draw the pictures again")
    return decode(path.read_bytes())


def is_right(sample: Sample) -> bool:
    """Whether a picture shows all that was asked for and nothing else."""
    return all(sample["right"].values())


def summarize(samples: Sequence[Sample]) -> dict[str, Variants]:
    """Shares of pictures.

    Returns:
      `generation` with the variant `all`, and `generation_by_category` and `generation_by_size`. Metrics: `correct` (all that
      was asked for and nothing else), `object` (shape and colour of every object), `score` (mean share of the attributes), and
      each attribute, among the prompts that speak of it.
    """
    categories, sizes = defaultdict(list), defaultdict(list)
    for sample in samples:
        categories[sample["category"]].append(sample)
        sizes[f"{sample['width']}x{sample['height']}"].append(sample)
    ordered = {name: categories[name] for name in shapes.CATEGORIES if name in categories}
    return {
        "generation": {"all": shares(samples)},
        "generation_by_category": {name: shares(members) for name, members in ordered.items()},
        "generation_by_size": {name: shares(members) for name, members in sizes.items()},
    }


def shares(samples: Iterable[Sample]) -> dict[str, Estimate]:
    """Metrics of some pictures; see `summarize`."""
    values: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        right = sample["right"]
        values["correct"].append(is_right(sample))
        values["object"].append(right["shape"] and right["colour"])
        values["score"].append(sum(right.values()) / len(right))
        for name, value in right.items():
            values[name].append(value)
    return {name: estimate(of) for name, of in values.items()}
