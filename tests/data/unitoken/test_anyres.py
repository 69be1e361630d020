"""AnyRes against its definition, pixel by pixel and place by place."""

import numpy as np
import pytest
from PIL import Image

from ugf_jax.data.unitoken.anyres import NEWLINE, AnyResSettings, choose, crops, features, most_features
from ugf_jax.errors import InputError

FULL = AnyResSettings()
SMALL = AnyResSettings(size=28, patch=14, pinpoints=((28, 56), (56, 28), (56, 56), (28, 84), (84, 28)))


@pytest.mark.parametrize(
    ("size", "canvas"),
    [
        ((512, 512), (768, 768)),
        ((300, 300), (384, 768)),  # every canvas shows all of it, so the first of those that waste least
        ((400, 800), (768, 384)),
        ((800, 400), (384, 768)),
        ((300, 1000), (1152, 384)),
        ((3000, 1000), (384, 1152)),
        ((1080, 1920), (768, 768)),  # 768 x 432 pixels, where 768 x 384 shows 682 x 384
    ],
)
def test_the_canvas_that_shows_most_is_chosen(size, canvas):
    assert choose(*size, FULL.pinpoints) == canvas


def test_a_square_has_the_numbers_of_the_paper():
    found = features(512, 512, FULL)
    assert len(found) == 729 + 54 * 55 == most_features(FULL)
    assert (found[:729] == np.arange(729)).all()
    assert (found == NEWLINE).sum() == 54
    assert features(512, 512, AnyResSettings(pinpoints=())).size == 729 + 1


@pytest.mark.parametrize("size", [(30, 30), (20, 90), (90, 20), (40, 55), (55, 40), (200, 110), (13, 11)])
def test_every_feature_shows_its_part_of_the_picture(size):
    """An image whose pixels tell their place: each feature that is kept is the patch at that place of the canvas."""
    height, width = size
    image = np.stack(np.broadcast_arrays(np.arange(height)[:, None] * 255 // height, np.arange(width) * 255 // width, 128), -1)
    seen = crops(image.astype(np.uint8), SMALL)
    canvas = choose(height, width, SMALL.pinpoints)
    assert len(seen) == 1 + canvas[0] * canvas[1] // 28**2 <= SMALL.most_crops
    assert (seen[0] == np.asarray(Image.fromarray(image.astype(np.uint8)).resize((28, 28)))).all()

    patches = seen.reshape(len(seen), 2, 14, 2, 14, 3).swapaxes(2, 3).reshape(-1, 14, 14, 3)
    numbers = features(height, width, SMALL)
    assert (numbers[:4] == np.arange(4)).all()
    lines = np.split(numbers[4:], np.flatnonzero(numbers[4:] == NEWLINE) + 1)[:-1]
    assert len({len(line) for line in lines}) == 1
    means = np.array([[patches[n].mean((0, 1)) for n in line[:-1]] for line in lines])
    inside = means[..., 2] > 120  # patches that are picture only, no padding
    for axis, channel in ((0, 0), (1, 1)):
        steps = np.diff(means[..., channel], axis=axis)
        whole = np.logical_and(*(np.delete(inside, where, axis) for where in (0, -1)))
        assert (steps[whole] > 0).all()


def test_rows_that_are_padding_only_are_left_out():
    numbers = features(20, 90, SMALL)  # on 84 x 28: 18.7 rows of pixels of 28, so no patch is all padding
    assert (numbers == NEWLINE).sum() == 2
    wide = features(384, 1152, FULL)  # exactly a canvas
    assert (wide == NEWLINE).sum() == 27
    assert len(features(384, 700, FULL)) < 729 + 27 * 55  # margins left and right
    assert (features(100, 300, FULL) == NEWLINE).sum() == 10  # a small one, on 384 x 768


def test_canvases_must_be_filled_by_crops():
    with pytest.raises(InputError, match=r"c\.pinpoints\[0\] is \(30, 56\); want multiples of c\.size, 28"):
        AnyResSettings(size=28, pinpoints=((30, 56),)).validate("c")
