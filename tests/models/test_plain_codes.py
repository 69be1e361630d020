import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.plain_codes import coverage, mean_colours

LEVELS = (5, 5, 5, 8)
BLACK, WHITE, RED, BLUE = (-1, -1, -1), (1, 1, 1), (1, -1, -1), (-1, -1, 1)
CODE = {BLACK: 0, WHITE: 4 + 5 * 4 + 25 * 4, RED: 4, BLUE: 25 * 4}
FULL = 125 * 7
codes = jax.jit(functools.partial(coverage, patch=8, levels=LEVELS))


def test_a_mean_colour_is_a_code_whatever_stands_beside_it():
    image = np.full((1, 4, 8, 3), -1.0, np.float32)
    image[0, :, 4:] = 1.0  # white
    image[0, :2, :4, 0] = 1.0  # red: half of the black patch
    np.testing.assert_array_equal(mean_colours(jnp.asarray(image), 4, (3, 4, 5)), [[[1, 2 + 3 * 3 + 12 * 4]]])
    around = jnp.full((2, 1, 1, 3), -1.0).at[:, 0, 0, 1].set(jnp.array([-0.01, 0.01]))  # of -1, -1/3, 1/3, 1 the nearest
    np.testing.assert_array_equal(mean_colours(around, 1, (2, 4, 2)).ravel(), [2 * 1, 2 * 2])


def picture(colour, size=32):
    return np.tile(np.array(colour, np.float32), (1, size, size, 1))


@pytest.mark.parametrize("colour", [BLACK, WHITE, RED, BLUE])
def test_a_flat_patch_is_its_colour_and_full(colour):
    assert np.all(codes(picture(colour)) == CODE[colour] + FULL)


@pytest.mark.parametrize("around", [BLACK, WHITE, BLUE])
def test_along_an_edge_the_share_is_the_same_whatever_meets(around):
    image = picture(around)
    for rows in range(1, 8):
        image[0, 8 : 8 + rows, 8:16] = RED
        assert codes(image)[0, 1, 1] == CODE[RED] + 125 * (rows - 1)
        assert codes(image)[0, 2, 1] == CODE[around] + FULL


def test_what_covers_next_to_nothing_is_left_out():
    image = picture(WHITE)
    image[0, 8, 8:11] = RED  # 3 of 64 pixels; half a level are 4
    assert codes(image)[0, 1, 1] == CODE[WHITE] + FULL
    image[0, 8, 8:13] = RED
    assert codes(image)[0, 1, 1] == CODE[RED]


def test_pixels_between_two_colours_count_in_part():
    image = picture(BLACK)
    image[0, 8:16, 8:12] = RED
    image[0, 8:16, 12] = np.add(BLACK, RED) / 2  # as along an anti-aliased edge
    assert codes(image)[0, 1, 1] in (CODE[RED] + 125 * 3, CODE[RED] + 125 * 4)  # 4.5 columns of 8
    image[0, 8:16, 13] = np.add(BLACK, RED) / 2
    assert codes(image)[0, 1, 1] == CODE[RED] + 125 * 4  # 5 columns


def test_within_an_object_the_colour_farther_from_the_surround_is_named():
    image = picture(WHITE, 64)
    image[0, 16:40, 16:40] = RED
    image[0, 24:32, 24:28] = BLACK
    assert codes(image)[0, 3, 3] == CODE[BLACK] + 125 * 3


def test_small_differences_are_one_colour():
    image = picture(WHITE) - np.random.default_rng(0).uniform(0, 0.1, (1, 32, 32, 1)).astype(np.float32)
    assert np.all(codes(image) == CODE[WHITE] + FULL)


def test_every_code_is_one_of_the_quantizer():
    found = codes(np.random.default_rng(1).uniform(-1, 1, (4, 64, 64, 3)).astype(np.float32))
    assert found.dtype == jnp.int32
    assert found.min() >= 0
    assert found.max() < 1000
