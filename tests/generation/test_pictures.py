"""Pictures in any form are the same array."""

import io

import numpy as np
import pytest
from PIL import Image

from ugf_jax.errors import InputError
from ugf_jax.generation.pictures import to_array

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_arrays_images_bytes_and_paths_are_one(tmp_path):
    image = Image.fromarray(PIXELS)
    (tmp_path / "a.png").write_bytes(png(image))
    for form in (PIXELS, image, png(image), tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(to_array(form), PIXELS)


def test_transparency_becomes_white_in_every_form():
    clear = Image.new("RGBA", (4, 3), (10, 20, 30, 0))
    assert (to_array(clear) == 255).all()
    assert (to_array(png(clear)) == 255).all()
    palette = Image.new("P", (4, 3))
    palette.info["transparency"] = 0
    assert (to_array(palette) == 255).all()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (PIXELS.astype(np.float32), r"an image is float32 \(5, 7, 3\); want uint8"),
        (PIXELS[..., 0], r"uint8 \(5, 7\); want uint8 \(height, width, 3\)"),
        (b"GIF89a", "damaged"),
    ],
)
def test_what_is_no_picture_is_refused(picture, message):
    with pytest.raises(InputError, match=message):
        to_array(picture)


def test_a_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.png: cannot be read"):
        to_array(tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"no image at all")
    with pytest.raises(InputError, match=r"bad\.png: "):
        to_array(tmp_path / "bad.png")
