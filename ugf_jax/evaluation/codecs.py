"""JPEG and WebP at a given number of bytes: what an ordinary image file would have made of the same budget."""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ugf_jax.errors import InputError
from ugf_jax.evaluation.metrics import psnr

# 4:2:0 chroma, as both encoders do by default. Baseline JPEG with Huffman tables of its own is smaller than progressive
# where files are a few kilobytes.
ENCODERS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG", "optimize": True},
    "webp": {"format": "WEBP", "method": 4},
}
QUALITIES = (1, 100)
SHRINKS = (1.0, 0.5, 0.25)


@dataclasses.dataclass(frozen=True)
class CodedImage:
    """One file.

    Attributes:
      image: uint8 `[height, width, 3]` decoded from it, at the original size.
      size: of the whole file in bytes, headers included.
      quality: as given to the encoder, 1 to 100.
      scale: of the stored sides to the original's; 1 if it was not shrunk.
      fits: whether `size` is within the budget. If not, this is the smallest file that the codec can make.
    """

    image: np.ndarray
    size: int
    quality: int
    scale: float
    fits: bool


def code_within(image: np.ndarray, budget: int, codec: str, scale: float = 1.0) -> CodedImage:
    """The highest quality whose file is at most `budget` bytes; quality 1, and its honest size, where even that is larger.

    Args:
      image: uint8 `[height, width, 3]`.
      budget: bytes of the whole file.
      codec: `jpeg` or `webp`.
      scale: shrink both sides by this first, and enlarge again after decoding (Lanczos both ways).

    Raises:
      InputError: an unknown codec.
    """
    if codec not in ENCODERS:
        raise InputError(f"codec '{codec}': want one of {', '.join(ENCODERS)}")
    height, width = image.shape[:2]
    small = Image.fromarray(image)
    if scale != 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = small.resize(size, Image.Resampling.LANCZOS)
    low, high = QUALITIES
    quality, data = low, _encode(small, codec, low)
    while low < high:  # file size hardly ever falls as quality rises, so bisection finds the last one that fits
        middle = (low + high + 1) // 2
        attempt = _encode(small, codec, middle)
        if len(attempt) <= budget:
            low, quality, data = middle, middle, attempt
        else:
            high = middle - 1
    decoded = Image.open(io.BytesIO(data), formats=[ENCODERS[codec]["format"]]).convert("RGB")
    if scale != 1:
        decoded = decoded.resize((width, height), Image.Resampling.LANCZOS)
    return CodedImage(np.asarray(decoded), len(data), quality, scale, len(data) <= budget)


def best_within(
    image: np.ndarray, native: CodedImage, budget: int, codec: str, scales: Sequence[float] = SHRINKS
) -> CodedImage:
    """The best PSNR within `budget` when the image may also be shrunk first, as is usual at very low rates.

    Args:
      image: uint8 `[height, width, 3]`.
      native: `code_within` at the image's own size, so that it is not computed again.
      budget: bytes of the whole file.
      codec: `jpeg` or `webp`.
      scales: tried besides 1.

    Returns:
      The best file that fits; if none does, the smallest.
    """
    tried = [native, *(code_within(image, budget, codec, scale) for scale in scales if scale != 1)]
    fitting = [t for t in tried if t.fits]
    if not fitting:
        return min(tried, key=lambda t: t.size)
    return max(fitting, key=lambda t: psnr(t.image, image))


def _encode(image: Image.Image, codec: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, quality=quality, **ENCODERS[codec])
    return buffer.getvalue()
