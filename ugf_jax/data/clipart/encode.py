"""Pixels of one drawing: cutting the empty page away, shrinking, and the smallest WebP of stated quality."""

import io

import numpy as np
from PIL import Image

INK = 24  # grey levels away from white, in any channel, that count as drawn
MARGIN = 0.04  # of the longer side of the drawing, kept around it
COLOURS = (32, 64, 128, 256)
QUALITIES = (80, 85, 90, 95)


def trim(image: np.ndarray) -> np.ndarray:
    """Cuts empty white borders of uint8 `[height, width, 3]`, leaving a margin; a blank image comes back as it is.

    Many drawings sit small on an A4 page. Without the page they have their own aspect ratio.
    """
    rows, columns = np.flatnonzero(ink(image).any(1)), np.flatnonzero(ink(image).any(0))
    if not len(rows):
        return image
    margin = round(MARGIN * max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    return image[top : rows[-1] + 1 + margin, left : columns[-1] + 1 + margin]


def ink(image: np.ndarray) -> np.ndarray:
    """Bool `[height, width]`: where something is drawn."""
    return image.min(-1) < 255 - INK


def is_colourless(image: np.ndarray) -> bool:
    """Whether uint8 `[height, width, 3]` has only greys (but for one pixel in 500)."""
    spread = image.max(-1).astype(int) - image.min(-1)
    return float((spread > INK).mean()) < 0.002


def shrink(image: np.ndarray, max_side: int) -> np.ndarray:
    """Reduces uint8 `[height, width, 3]` to a longer side of at most `max_side`; never enlarges.

    Hamming window: antialiased, and without the halos that Lanczos draws around flat colours.
    """
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.HAMMING))


def psnr(image: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB between uint8 images; 99 where they are equal."""
    error = np.mean((image.astype(np.float32) - other) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def encode(image: np.ndarray, min_psnr: float) -> tuple[bytes, float]:
    """The smallest WebP of uint8 `[height, width, 3]` with at least `min_psnr` dB, and its PSNR.

    Flat drawings are smallest as lossless WebP of a few colours, shaded ones as lossy WebP.
    """
    picture = Image.fromarray(image)
    found = [f for f in (_few_colours(picture, image, min_psnr), _lossy(picture, image, min_psnr)) if f]
    return min(found, key=lambda f: len(f[0])) if found else (_webp(picture, lossless=True, quality=90), 99.0)


def encode_within(image: np.ndarray, sides: tuple[int, ...], max_bytes: int, min_psnr: float) -> tuple[bytes, float]:
    """`encode` at the largest of `sides` whose file fits in `max_bytes`, else at the smallest of them with 2 dB less."""
    side = min(sides[0], max(image.shape[:2]))
    data, quality = encode(shrink(image, side), min_psnr)
    for smaller in sides[1:]:
        if len(data) <= max_bytes:
            break
        # Bytes fall more slowly than pixels do: a side that is too large by the number of pixels need not be tried.
        if smaller < side and (smaller == sides[-1] or len(data) * (smaller / side) ** 2 <= max_bytes):
            side = smaller
            data, quality = encode(shrink(image, side), min_psnr)
    if len(data) > max_bytes:
        data, quality = encode(shrink(image, side), min_psnr - 2)
    return data, quality


def _few_colours(picture: Image.Image, image: np.ndarray, min_psnr: float) -> tuple[bytes, float] | None:
    for colours in COLOURS:
        reduced = picture.quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE).convert("RGB")
        quality = psnr(image, np.asarray(reduced))
        if quality >= min_psnr:
            return _webp(reduced, lossless=True, quality=90), quality
    return None


def _lossy(picture: Image.Image, image: np.ndarray, min_psnr: float) -> tuple[bytes, float] | None:
    """The lowest of `QUALITIES` that is enough; None where none is, because lossy WebP halves the resolution of colour."""
    best = _lossy_at(picture, image, QUALITIES[-1])
    if best[1] < min_psnr:
        return None
    tried = (_lossy_at(picture, image, level) for level in QUALITIES[:-1])
    return next((t for t in tried if t[1] >= min_psnr), best)


def _lossy_at(picture: Image.Image, image: np.ndarray, level: int) -> tuple[bytes, float]:
    data = _webp(picture, quality=level, use_sharp_yuv=True)
    return data, psnr(image, decode_webp(data))


def decode_webp(data: bytes) -> np.ndarray:
    """uint8 `[height, width, 3]`."""
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        return np.asarray(image.convert("RGB"))


def _webp(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", method=6, **options)
    return file.getvalue()
