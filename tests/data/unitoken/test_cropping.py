"""Crops: exact sizes, nothing stretched, the same part for both encoders."""

import numpy as np
import pytest

from ugf_jax.data.unitoken.cropping import best_size, crop, crop_sizes


def test_sizes_hold_as_many_grids_as_the_square_and_no_more():
    sizes = crop_sizes(512)
    assert (512, 512) in sizes
    assert all(h * w <= 512**2 and h % 32 == w % 32 == 0 and max(h, w) <= 4 * min(h, w) for h, w in sizes)
    assert len(sizes) == len(set(sizes)) > 20


@pytest.mark.parametrize(("size", "best"), [((512, 512), (512, 512)), ((100, 300), (288, 864)), ((10, 9), (544, 480))])
def test_the_size_of_the_same_shape_is_best(size, best):
    assert best_size(*size, crop_sizes(512)) == best


@pytest.mark.parametrize("size", [(70, 200), (300, 90), (64, 64), (20, 25), (500, 501)])
@pytest.mark.parametrize("at", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_both_encoders_see_the_same_part(size, at):
    height, width = size
    image = np.stack(np.broadcast_arrays(np.arange(height)[:, None] * 255 // height, np.arange(width) * 255 // width, 0), -1)
    made = crop(image.astype(np.uint8), (64, 64), at)
    assert made.image.shape == (64, 64, 3)
    ratio = made.region.shape[1] / made.region.shape[0]
    assert abs(np.log(ratio)) < 0.12  # as square as whole pixels of a small image allow
    assert abs(made.image.mean((0, 1)) - made.region.mean((0, 1))).max() < 6
