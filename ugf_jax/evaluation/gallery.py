"""Which images a report shows, and as what: chosen by rule, not by eye."""

import base64
import dataclasses
import io
from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.shapes import ASPECTS

RESIDUAL_GAIN = 3.0
# Longest side in pixels and WebP quality, tried in this order until all pictures together are small enough.
PICTURE_FORMS = ((512, 92), (512, 80), (384, 75), (256, 70))


@dataclasses.dataclass(frozen=True)
class Choice:
    """An image to show and why: its row in the dataset, its sample and a short reason."""

    row: int
    sample: Sample
    reason: str


@dataclasses.dataclass(frozen=True)
class Tile:
    """One picture: uint8 `[height, width, 3]`, its name and a line of figures."""

    name: str
    pixels: np.ndarray
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A tile as the page holds it: a data URI, and the size in pixels of what was measured."""

    name: str
    uri: str
    width: int
    height: int
    note: str


def choose(samples: Sequence[Sample], most: int = 12) -> list[Choice]:
    """The image of median PSNR of each aspect ratio, widest first, then the best, the median and the worst of all.

    Where there are more aspect ratios than places, those with the most images are shown.
    """
    used = [s for s in samples if "rejected" not in s]
    if not used:
        return []
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in used:
        groups[sample["aspect"]].append(sample)
    shown = sorted(groups, key=lambda a: -len(groups[a]))[: max(1, most - 3)]
    choices = []
    for aspect in sorted(shown, key=ASPECTS.index):
        sample = _ranked(groups[aspect])[len(groups[aspect]) // 2]
        count = len(groups[aspect])
        reason = f"median of the {count} images near {aspect}" if count > 1 else f"the only image near {aspect}"
        choices.append(Choice(sample["row"], sample, reason))
    ranked = _ranked(used)
    for place, reason in ((-1, "best of all"), (len(ranked) // 2, "median of all"), (0, "worst of all")):
        choices.append(Choice(ranked[place]["row"], ranked[place], reason))
    return choices


def _ranked(samples: Sequence[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda s: (s["variants"]["full"]["psnr"], s["row"]))


def residual(image: np.ndarray, reconstruction: np.ndarray, gain: float = RESIDUAL_GAIN) -> np.ndarray:
    """`image - reconstruction`, amplified and centred at gray: uint8 `[height, width, 3]`."""
    return np.clip(127.5 + gain * (image.astype(np.float32) - reconstruction), 0, 255).round().astype(np.uint8)


def encode_pictures(rows: Sequence[Sequence[Tile]], most_bytes: int = 4_000_000) -> list[list[Picture]]:
    """Tiles as WebP data URIs whose files together take at most `most_bytes`, if any of `PICTURE_FORMS` can."""
    for side, quality in PICTURE_FORMS:
        files = [[_webp(tile.pixels, side, quality) for tile in row] for row in rows]
        if sum(len(f) for row in files for f in row) <= most_bytes:
            break
    return [[_picture(t, f) for t, f in zip(row, data, strict=True)] for row, data in zip(rows, files, strict=True)]


def _picture(tile: Tile, data: bytes) -> Picture:
    height, width, _ = tile.pixels.shape
    return Picture(tile.name, "data:image/webp;base64," + base64.b64encode(data).decode(), width, height, tile.note)


def _webp(pixels: np.ndarray, side: int, quality: int) -> bytes:
    factor = side / max(pixels.shape[:2])
    if factor < 1:
        size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
