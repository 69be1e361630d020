"""Images on the grids that a model knows."""

import types

import numpy as np
import pytest

from ugf_jax.data.records import ImageCodes
from ugf_jax.generation.image_coder import ImageCoder, resize

PATCH = 8


class Tokenizer:
    """Codes an image as its mean, and remembers the batches that it was given."""

    settings = types.SimpleNamespace(auxiliary=types.SimpleNamespace(patch=PATCH))

    def __init__(self):
        self.batches = []

    def padded_shape(self, height, width):
        return -(-height // PATCH) * PATCH, -(-width // PATCH) * PATCH

    def encode(self, images):
        self.batches.append(images.shape)
        return [ImageCodes(np.full((1, 1), image.mean()), (), (), images.shape[1:3]) for image in images]


def image(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("size", "grid"),
    [((40, 40), (4, 4)), ((10, 10), (4, 4)), ((100, 100), (8, 8)), ((64, 120), (3, 6)), ((200, 60), (6, 3))],
)
def test_the_nearest_shape_counts_before_the_nearest_area(size, grid):
    assert ImageCoder(Tokenizer(), [(4, 4), (8, 8), (3, 6), (6, 3)]).grid(*size) == grid


def test_without_known_grids_an_image_stays_as_it_is():
    tokenizer = Tokenizer()
    coder = ImageCoder(tokenizer)
    assert coder.grid(17, 40) == (3, 5)
    coder.encode([image(24, 40, 5)])
    assert tokenizer.batches == [(1, 24, 40, 3)]


def test_codes_come_in_the_order_of_the_images_from_few_batches():
    tokenizer = Tokenizer()
    shapes = [(32, 32), (24, 48), (40, 40)] * 13
    codes = ImageCoder(tokenizer, [(4, 4), (3, 6)]).encode([image(*shape, i) for i, shape in enumerate(shapes)])
    assert [float(c.master[0, 0]) for c in codes] == list(range(39))
    # 26 squares in batches of 16 and 10, which is filled up to 16; 13 others, filled up to 16.
    assert sorted(tokenizer.batches) == [(16, 24, 48, 3), (16, 32, 32, 3), (16, 32, 32, 3)]


def test_resizing_to_the_same_size_changes_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    assert resize(pixels, 9, 7) is pixels
    assert resize(pixels, 3, 14).shape == (3, 14, 3)
