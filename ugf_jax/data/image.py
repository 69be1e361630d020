"""Encoded image files to RGB `uint8` arrays, whatever the file; what cannot be used is refused with a named reason.

Decoding applies EXIF orientation, converts palette, gray, 16-bit and CMYK, composites transparency on white and takes the
first frame of an animation. Pixels are counted from the header, before any of them is decoded. Plain JPEG goes through
simplejpeg, which reports damage that other decoders fill with gray; everything else goes through Pillow.
"""

import dataclasses
import io
import struct
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from ugf_jax.errors import InputError

# No format that starts another program (EPS) and none without a use for photographs or drawings.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

# Everything that Pillow was seen to raise on a damaged file (tests/data/test_image.py mutates files of every format).
_DECODER_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_HARMLESS_JPEG = ("extraneous bytes", "SOS parameters")  # warnings of libjpeg that change no pixel

# The limits below speak for themselves; Pillow's own warnings about sizes and metadata would only clutter the terminal.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclasses.dataclass(frozen=True)
class ImageLimits:
    """What is refused before decoding.

    Attributes:
      max_pixels: height × width; the default, 67 million, is 200 MB as RGB. Pillow's own ceiling is 178,956,970.
      max_aspect: long side / short side. Buckets end at 4:1; up to 5:1 the rest can be cropped away.
    """

    max_pixels: int = 2**26
    max_aspect: float = 5.0


DEFAULT_LIMITS = ImageLimits()


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """What the header says: `height` and `width` in pixels after EXIF orientation, Pillow's `format` and `mode`."""

    height: int
    width: int
    format: str
    mode: str


class ImageRejected(InputError):
    """An image that cannot be used.

    Attributes:
      reason: one of `empty`, `not an image`, `truncated`, `damaged`, `too many pixels`, `aspect ratio`, `unsupported pixels`;
        sources of data add their own, such as `missing file`.
      detail: what was found and what the limit is.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


def probe(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> ImageInfo:
    """Reads the header of an encoded image; decodes no pixel.

    Raises:
      ImageRejected: not an image, cut short within the header, or over a limit.
    """
    return _open(data, limits)[1]


def decode(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Decodes an encoded image of any supported format.

    Args:
      data: the bytes of the file.
      limits: checked before decoding.

    Returns:
      uint8 `[height, width, 3]`, RGB, upright.

    Raises:
      ImageRejected: with the reason; nothing else, whatever the bytes are.
    """
    image, info, orientation = _open(data, limits)
    try:
        if info.format in ("JPEG", "MPO") and info.mode in ("RGB", "L"):
            pixels = _decode_jpeg(data, image)
        elif info.format == "PNG" and _is_cut(data):
            raise ImageRejected("truncated", "no IEND chunk")  # all pixels may be there, but nobody can tell
        else:
            pixels = _rgb(image)
    except _DECODER_ERRORS as error:
        raise _rejection(data, error) from error
    pixels = np.ascontiguousarray(_upright(pixels, orientation))
    if pixels.shape != (info.height, info.width, 3):
        raise ImageRejected("damaged", f"{pixels.shape[1]}x{pixels.shape[0]} pixels, header says {info.width}x{info.height}")
    return pixels


def shrink(data: bytes, limits: ImageLimits, max_side: int) -> tuple[bytes, int, int]:
    """Makes an image no longer than `max_side`, and checks it by decoding it in full.

    A smaller image keeps its bytes. A larger one is resized (area averaging) and encoded again: JPEG as JPEG of quality 95
    without chroma subsampling, everything else without loss as PNG.

    Returns:
      `(encoded bytes, height, width)` in pixels.

    Raises:
      ImageRejected: as `decode`.
    """
    pixels = decode(data, limits)
    height, width = pixels.shape[:2]
    if not max_side or max(height, width) <= max_side:
        return data, height, width
    scale = max_side / max(height, width)
    height, width = max(round(height * scale), 1), max(round(width * scale), 1)
    pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    if data.startswith(_SIGNATURES[0]):
        return simplejpeg.encode_jpeg(pixels, quality=95, colorspace="RGB", colorsubsampling="444"), height, width
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), height, width


def _open(data: bytes, limits: ImageLimits) -> tuple[Image.Image, ImageInfo, int]:
    """The image with its header read, what the header says, and the EXIF orientation (1–8) still to be applied."""
    if not data:
        raise ImageRejected("empty", "0 bytes")
    try:
        image = _identify(data)
        width, height = image.size
        _check_size(height, width, limits)
        orientation = _orientation(data, image)
    except ImageRejected:
        raise
    except Image.DecompressionBombError as error:
        raise ImageRejected("too many pixels", str(error)) from error
    except _DECODER_ERRORS as error:
        raise _rejection(data, error) from error
    if orientation >= 5:
        height, width = width, height
    return image, ImageInfo(height, width, str(image.format), image.mode), orientation


def _identify(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except ValueError:
        # Pillow refuses a PNG for one oversized text or colour profile; its pixels need neither.
        if not data.startswith(_SIGNATURES[1]):
            raise
        return Image.open(io.BytesIO(_without_metadata(data)), formats=FORMATS)


def _check_size(height: int, width: int, limits: ImageLimits) -> None:
    if height < 1 or width < 1:
        raise ImageRejected("damaged", f"{width}x{height} pixels")
    if height * width > limits.max_pixels:
        raise ImageRejected("too many pixels", f"{width}x{height} is over {limits.max_pixels}")
    if max(height, width) > limits.max_aspect * min(height, width):
        raise ImageRejected("aspect ratio", f"{width}x{height} is over {limits.max_aspect:g}:1")


def _rejection(data: bytes, error: BaseException) -> ImageRejected:
    """The reason that fits an error of a decoder."""
    if isinstance(error, ImageRejected):
        return error
    known = data.startswith(_SIGNATURES)
    if isinstance(error, UnidentifiedImageError):
        detail = "a header that cannot be read" if known else "starts with " + repr(data[:16])[1:]
    else:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
    if not known and isinstance(error, UnidentifiedImageError):
        return ImageRejected("not an image", detail)
    cut = any(word in detail.lower() for word in ("truncated", "premature", "no more data", "unexpected end"))
    return ImageRejected("truncated" if cut or _is_cut(data) else "damaged", detail)


def _is_cut(data: bytes) -> bool:
    """True where the container says that more bytes should follow."""
    if data.startswith(_SIGNATURES[0]):
        return b"\xff\xd9" not in data[-64:]
    if data.startswith(_SIGNATURES[1]):
        return not any(name == b"IEND" for name, _, _ in _png_chunks(data))
    if data.startswith(b"RIFF"):
        return len(data) < 12 or len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data.startswith((b"II*\0", b"MM\0*")):
        return len(data) < 8 or len(data) <= int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big")
    return False


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields `(type, start, end)` of every complete chunk of a PNG file, up to and including IEND."""
    start = 8
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if end > len(data):
            return
        name = data[start + 4 : start + 8]
        yield name, start, end
        if name == b"IEND":
            return
        start = end


def _without_metadata(data: bytes) -> bytes:
    dropped = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
    return data[:8] + b"".join(data[start:end] for name, start, end in _png_chunks(data) if name not in dropped)


def _orientation(data: bytes, image: Image.Image) -> int:
    """EXIF orientation, 1 where there is none. A damaged EXIF block says nothing and harms nothing."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF by itself
    try:
        if image.format == "PNG":
            exif = Image.Exif()
            found = [data[start + 8 : end - 4] for name, start, end in _png_chunks(data) if name == b"eXIf"]
            if found:
                exif.load(b"Exif\0\0" + found[0])
            else:
                exif = Image.Image.getexif(image)  # PngImageFile.getexif would decode the pixels
        else:
            exif = image.getexif()
        value = exif.get(ExifTags.Base.Orientation, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation (CIPA DC-008, tag 274): where row 0 and column 0 of the stored picture are seen."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _decode_jpeg(data: bytes, image: Image.Image) -> np.ndarray:
    try:
        return simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    except ValueError as error:
        if not any(words in str(error) for words in _HARMLESS_JPEG):
            raise
    return _rgb(image)


def _rgb(image: Image.Image) -> np.ndarray:
    """Decodes an opened image; uint8 `[height, width, 3]`."""
    image.load()
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        return _from_16_bit(image)
    if mode in ("I", "F"):
        raise ImageRejected("unsupported pixels", f"32-bit values (mode {mode}) have no agreed scale")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return np.asarray(white)
    return np.asarray(image.convert("RGB"))


def _from_16_bit(image: Image.Image) -> np.ndarray:
    values = np.asarray(image).astype(np.uint32)
    gray = ((values * 255 + 32767) // 65535).astype(np.uint8)
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        gray[values == hidden] = 255
    return np.repeat(gray[:, :, None], 3, axis=2)
