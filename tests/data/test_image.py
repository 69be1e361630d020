"""Every file of the corpus either decodes to what an independent reading of it says, or is refused with its reason."""

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ugf_jax.data.image import FORMATS, ImageLimits, ImageRejected, decode, probe

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

LIMITS = ImageLimits()


def picture(height=48, width=64, seed=0):
    """A smooth colour picture uint8 [height, width, 3] with a bright corner at the top left, unlike any of its rotations."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    phase = np.random.default_rng(seed).uniform(0, 3, 3)
    image = 110 + 90 * np.sin(4 * np.stack([x + phase[0], y + phase[1], x * y + phase[2]], -1))
    image[: height // 4, : width // 4] = 250
    return image.astype(np.uint8)


def encode(image, form, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(height, width, rows, depth=8, colour=2, *extra):
    """A PNG written by hand; `rows` are the filtered scan lines, `extra` chunks go before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = b"".join([chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


def bomb():
    """12000 × 12000 pixels in 18 KB."""
    return png(12000, 12000, bytes(12000 * 1501), 1, 0)


def refused(data, limits=LIMITS):
    with pytest.raises(ImageRejected) as caught:
        decode(data, limits)
    return caught.value.reason


LOSSLESS = [
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("PPM", {}),
]


@pytest.mark.parametrize(("form", "options"), LOSSLESS)
def test_lossless_formats_come_back_exactly(form, options):
    np.testing.assert_array_equal(decode(encode(picture(), form, **options)), picture())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"optimize": True}])
def test_jpeg_agrees_with_pillow(options):
    data = encode(picture(), "JPEG", **options)
    oracle = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode(data) - oracle).max() <= 2


def test_gray_jpeg_and_lossy_webp_agree_with_another_decoder():
    for data in (encode(Image.fromarray(picture()).convert("L"), "JPEG"), encode(picture(), "WEBP", quality=80)):
        oracle = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert np.abs(decode(data).astype(int) - oracle).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_undone(form, orientation):
    upright = picture()
    stored = {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: np.swapaxes(upright, 0, 1),
        6: np.rot90(upright, 1),  # the camera was turned; a viewer turns it back by 90 degrees clockwise
        7: np.swapaxes(np.rot90(upright, 2), 0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
    data = encode(np.ascontiguousarray(stored), form, exif=exif, **lossless)
    info = probe(data)
    assert (info.height, info.width) == upright.shape[:2]
    assert np.abs(decode(data).astype(int) - upright).max() <= (4 if form == "JPEG" else 0)


def test_palette_with_transparency_shows_white_where_it_is_transparent():
    indices = np.zeros((6, 8), np.uint8)
    indices[:3] = 1
    image = Image.fromarray(indices, "P")
    image.putpalette([200, 0, 0, 0, 0, 200] + [0] * 762)
    for form in ("PNG", "GIF"):
        out = decode(encode(image, form, transparency=0))
        assert (out[:3] == [0, 0, 200]).all()
        assert (out[3:] == 255).all()


def test_colour_hidden_under_alpha_0_does_not_show():
    rng = np.random.default_rng(1)
    rgba = rng.integers(0, 256, (16, 20, 4), np.uint8)
    rgba[:, :10, 3] = 0
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        out = decode(encode(rgba, form, **options)).astype(int)
        assert (out[:, :10] == 255).all()
        alpha = rgba[:, 10:, 3:] / 255
        assert np.abs(out[:, 10:] - (rgba[:, 10:, :3] * alpha + 255 * (1 - alpha))).max() <= 1


def test_gray_with_alpha_and_gray_with_a_transparent_value():
    gray = np.tile(np.arange(16, dtype=np.uint8) * 16, (4, 1))
    with_alpha = np.stack([gray, np.full_like(gray, 128)], -1)
    assert np.abs(decode(encode(Image.fromarray(with_alpha, "LA"), "PNG"))[..., 0] - (gray * 0.5 + 127.5)).max() <= 1.5
    keyed = decode(encode(Image.fromarray(gray), "PNG", transparency=16))
    assert (keyed[:, 1] == 255).all()
    assert (keyed[:, 2] == 32).all()


def test_16_bit_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 300).astype(np.uint16).reshape(10, 30)
    wanted = np.round(values / 257)
    for form in ("PNG", "TIFF", "PPM"):
        out = decode(encode(Image.fromarray(values), form)).astype(int)
        assert np.abs(out - wanted[..., None]).max() <= 1, form
    colour = np.stack([values, values[::-1], values[:, ::-1]], -1)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colour)
    assert np.abs(decode(png(10, 30, rows, 16, 2)) - colour / 257).max() <= 1


def test_16_bit_gray_with_a_transparent_value():
    values = np.full((4, 4), 30000, np.uint16)
    values[0] = 1234
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    out = decode(png(4, 4, rows, 16, 0, chunk(b"tRNS", struct.pack(">H", 1234))))
    assert (out[0] == 255).all()
    assert (out[1:] == round(30000 / 257)).all()


def test_cmyk():
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[:8, :, 0] = 255  # full cyan above, nothing (white) below
    out = decode(encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100)).astype(int)
    assert np.abs(out[:6] - [0, 255, 255]).max() <= 6
    assert np.abs(out[10:] - 255).max() <= 6


def test_1_bit():
    bits = np.random.default_rng(0).random((9, 13)) > 0.5
    np.testing.assert_array_equal(
        decode(encode(Image.fromarray(bits), "PNG")), np.repeat(bits[..., None] * np.uint8(255), 3, -1)
    )


@pytest.mark.parametrize(("form", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_first_frame_of_an_animation(form, options):
    colours = ((250, 0, 0), (0, 250, 0), (0, 0, 250))
    frames = [Image.new("RGB", (20, 10), c) for c in colours]
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], duration=50, **options)
    assert (decode(data) == colours[0]).all()


def test_huge_metadata_does_not_matter():
    exif = Image.Exif()
    exif[0x010E] = "x" * 60000
    assert decode(encode(picture(), "JPEG", exif=exif, comment="y" * 60000)).shape == (48, 64, 3)
    rows = b"".join(b"\0" + row.tobytes() for row in picture())
    text = b"Comment\0\0" + zlib.compress(bytes(50_000_000))
    profile = b"p\0\0" + zlib.compress(bytes(5_000_000))
    for extra in (chunk(b"zTXt", text), chunk(b"iCCP", profile), chunk(b"tEXt", b"Comment\0" + b"z" * 20_000_000)):
        np.testing.assert_array_equal(decode(png(48, 64, rows, 8, 2, extra)), picture())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated(form):
    data = encode(picture(), form)
    for keep in (0.4, 0.7, 0.95):
        assert refused(data[: int(len(data) * keep)]) == "truncated"


@pytest.mark.parametrize(("form", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {})])
def test_no_beginning_of_a_file_passes_for_the_file(form, options):
    data = encode(picture(16, 24), form, **options)
    for keep in range(len(data)):
        assert refused(data[:keep]) in ("truncated", "empty", "not an image", "damaged")


def test_nothing_and_text():
    assert refused(b"") == "empty"
    assert refused(b"this is a text that somebody named .png\n") == "not an image"
    assert refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "not an image"


def test_too_many_pixels_is_known_before_decoding():
    data = bomb()
    assert len(data) < 30_000
    tracemalloc.start()
    assert refused(data) == "too many pixels"
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    assert refused(encode(picture(), "PNG"), ImageLimits(max_pixels=48 * 64 - 1)) == "too many pixels"
    assert decode(encode(picture(), "PNG"), ImageLimits(max_pixels=48 * 64)).shape == (48, 64, 3)


def test_beyond_the_ceiling_of_pillow():
    assert refused(png(20000, 20000, bytes(100), 1, 0), ImageLimits(max_pixels=2**40)) == "too many pixels"


def test_aspect_ratio():
    assert decode(encode(picture(1, 1), "PNG")).shape == (1, 1, 3)
    assert refused(encode(picture(1, 10000), "PNG")) == "aspect ratio"
    assert refused(encode(picture(101, 20), "PNG")) == "aspect ratio"
    assert decode(encode(picture(100, 20), "PNG")).shape == (100, 20, 3)
    assert decode(encode(picture(1, 10000), "PNG"), ImageLimits(max_aspect=1e4)).shape == (1, 10000, 3)


def test_values_without_a_scale_are_refused():
    assert refused(encode(Image.new("F", (8, 8), 0.5), "TIFF")) == "unsupported pixels"


def test_damaged_pixels_are_refused():
    data = bytearray(encode(picture(), "PNG"))
    middle = data.index(b"IDAT") + 40
    data[middle : middle + 20] = bytes(20)
    assert refused(bytes(data)) in ("damaged", "truncated")


def test_harmless_warnings_of_jpeg_are_tolerated():
    data = encode(picture(), "JPEG")
    assert np.abs(decode(data[:-2] + b"\0\1\2\3" * 4 + data[-2:]).astype(int) - decode(data)).max() <= 2
    np.testing.assert_array_equal(decode(data + b"left over"), decode(data))


TURNED = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"  # orientation 6
VALID = [
    encode(picture(12, 16), "JPEG"),
    encode(picture(12, 16), "JPEG", progressive=True, exif=TURNED),
    encode(picture(12, 16), "PNG"),
    encode(Image.fromarray(picture(12, 16)).quantize(9), "PNG"),
    encode(picture(12, 16), "WEBP"),
    encode(Image.fromarray(picture(12, 16)).quantize(9), "GIF"),
    encode(picture(12, 16), "BMP"),
    encode(picture(12, 16), "TIFF", compression="tiff_lzw"),
    encode(picture(12, 16), "PPM"),
    encode(Image.fromarray(picture(12, 16)).convert("CMYK"), "JPEG"),
]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.data())
def test_no_mutation_raises_anything_but_rejection(data):
    mutant = bytearray(data.draw(st.sampled_from(VALID)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutant) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "header"]))
        if kind == "set":
            mutant[at] = data.draw(st.integers(0, 255))
        elif kind == "header":  # the beginning decides the most
            mutant[at % 64] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del mutant[at : at + data.draw(st.integers(1, 40))]
        else:
            mutant[at:at] = data.draw(st.binary(min_size=1, max_size=20))
        if not mutant:
            break
    try:
        out = decode(bytes(mutant), ImageLimits(max_pixels=2**20))
    except ImageRejected:
        pass
    else:
        assert out.dtype == np.uint8
        assert out.ndim == 3
        assert out.shape[2] == 3
        assert probe(bytes(mutant)).height == out.shape[0]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"GIF89a", b"BM", b"II*\0", b"P6 "]),
)
def test_random_bytes_are_refused(body, start):
    with pytest.raises(ImageRejected):
        decode(start + body)


def test_formats_are_a_closed_list():
    assert "EPS" not in FORMATS
    assert refused(encode(picture(16, 16), "ICO")) == "not an image"
