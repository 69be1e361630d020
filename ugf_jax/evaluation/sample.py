"""What is measured of one image, as plain numbers for the sample log."""

import base64
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ugf_jax.data.records import ImageCodes
from ugf_jax.evaluation import codecs
from ugf_jax.evaluation.metrics import psnr, ssim
from ugf_jax.evaluation.shapes import aspect_class, scale_class

Sample = dict[str, Any]
Bits = Callable[[ImageCodes], dict[str, float]]


class Tokenizer(Protocol):
    """What is evaluated; `ugf_jax.generation.image_tokenizer.ImageTokenizer` is one."""

    settings: Any
    variables: Any
    step: int
    config: dict[str, Any]

    def padded_shape(self, height: int, width: int) -> tuple[int, int]:
        """The canvas on which an image is coded; the image is continued to it at its right and lower edge."""

    def encode(self, images: np.ndarray, keep: float | None = None) -> list[ImageCodes]:
        """Codes of uint8 `[batch, height, width, 3]`; `keep` is the share of auxiliary positions to keep."""

    def decode(self, codes: Sequence[ImageCodes], size: tuple[int, int], levels: int | None = None) -> np.ndarray:
        """Images uint8 `[batch, *size, 3]`; `levels=0` is the master alone."""

    def bits(self, codes: ImageCodes) -> dict[str, float]:
        """Information in the `master` and the `auxiliary` codes of one image."""


def measure_image(
    image: np.ndarray,
    codes: ImageCodes,
    master: np.ndarray,
    full: np.ndarray,
    rates: Mapping[float, tuple[ImageCodes, np.ndarray]],
    bits: Bits,
    codec_names: Sequence[str],
) -> Sample:
    """Figures of one image.

    Args:
      image: uint8 `[height, width, 3]`, the original.
      codes: of it.
      master: uint8, at least as high and wide, from the master codes; what exceeds the original is cut off.
      full: likewise, from all codes.
      rates: codes and image for each share of auxiliary positions kept; may be empty.
      bits: information in codes.
      codec_names: codecs to compare with, at the number of bytes that all codes take.

    Returns:
      `height width aspect scale`, `variants` (metrics of `master`, `full` and the codecs), `rates` where they were given
      (metrics by share), and the `codes` that were kept.
    """
    height, width, _ = image.shape
    master, full = master[:height, :width], full[:height, :width]
    sample: Sample = {
        "height": height,
        "width": width,
        "aspect": aspect_class(height, width),
        "scale": scale_class(height, width),
    }
    variants = {
        "master": quality(master, image) | amount(codes, bits, image, ("master",)),
        "full": quality(full, image) | amount(codes, bits, image),
    }
    sample["variants"] = variants | compare(image, int(variants["full"]["bytes"]), codec_names)
    if rates:
        sample["rates"] = {"0": quality(master, image) | _rate(variants["master"], 0)}
        for keep, (kept, pixels) in rates.items():
            spent = amount(kept, bits, image)
            measured = quality(pixels[:height, :width], image)
            sample["rates"][f"{keep:g}"] = measured | _rate(spent, spent["tokens"] - kept.master.size)
    kept_codes = [a[k].ravel() for a, k in zip(codes.auxiliary, codes.kept, strict=True)]
    sample["codes"] = {"master": pack_codes(codes.master), "auxiliary": pack_codes(np.concatenate(kept_codes))}
    return sample


def quality(pixels: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """PSNR in dB and SSIM against the original."""
    return {"psnr": psnr(pixels, image), "ssim": ssim(pixels, image)}


def amount(
    codes: ImageCodes, bits: Bits, image: np.ndarray, parts: Sequence[str] = ("master", "auxiliary")
) -> dict[str, float]:
    """Positions that hold codes, whole bytes of their information, and bits a pixel of the original."""
    tokens = {"master": codes.master.size, "auxiliary": sum(int(k.sum()) for k in codes.kept)}
    information = bits(codes)
    total = sum(information[p] for p in parts)
    pixels = image.shape[0] * image.shape[1]
    return {"tokens": sum(tokens[p] for p in parts), "bytes": float(-(-total // 8)), "bits_per_pixel": total / pixels}


def compare(image: np.ndarray, budget: int, codec_names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Each codec at most `budget` bytes, at native size and, as `…_resized`, at the best of native and shrunk sizes."""
    variants = {}
    for codec in codec_names:
        native = codecs.code_within(image, budget, codec)
        for name, coded in ((codec, native), (f"{codec}_resized", codecs.best_within(image, native, budget, codec))):
            variants[name] = quality(coded.image, image) | {
                "bytes": float(coded.size),
                "bits_per_pixel": coded.size * 8 / (image.shape[0] * image.shape[1]),
                "within_budget": float(coded.fits),
                "quality": float(coded.quality),
                "scale": coded.scale,
            }
    return variants


def _rate(spent: Mapping[str, float], auxiliary_tokens: float) -> dict[str, float]:
    return {"auxiliary_tokens": float(auxiliary_tokens), "bits_per_pixel": spent["bits_per_pixel"]}


def pack_codes(codes: np.ndarray) -> str:
    """Codes as text: uint32 little-endian, deflated, base 64."""
    return base64.b64encode(zlib.compress(codes.astype("<u4").tobytes())).decode()


def unpack_codes(text: str) -> np.ndarray:
    """Inverse of `pack_codes`, uint32 `[codes]`."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4")
