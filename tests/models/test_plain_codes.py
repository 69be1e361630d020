import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.plain_codes import coverage, mean_colours

BLACK, WHITE, RED, BLUE = (-1, -1, -1), (1, 1, 1), (1, -1, -1), (-1, -1, 1)
features = jax.jit(functools.partial(coverage, patch=8))


def test_a_mean_colour_is_a_code_whatever_stands_beside_it():
    image = np.full((1, 4, 8, 3), -1.0, np.float32)
    image[0, :, 4:] = 1.0  # white
    image[0, :2, :4, 0] = 1.0  # red: half of the black patch
    np.testing.assert_array_equal(mean_colours(jnp.asarray(image), 4, (3, 4, 5)), [[[1, 2 + 3 * 3 + 12 * 4]]])
    around = jnp.full((2, 1, 1, 3), -1.0).at[:, 0, 0, 1].set(jnp.array([-0.01, 0.01]))  # of -1, -1/3, 1/3, 1 the nearest
    np.testing.assert_array_equal(mean_colours(around, 1, (2, 4, 2)).ravel(), [2 * 1, 2 * 2])


def picture(colour, size=32):
    return np.tile(np.array(colour, np.float32), (1, size, size, 1))


def colour_and_mask(image):
    """`[rows, columns, 3]` and `[rows, columns, 8, 8]` of the first picture."""
    found = np.asarray(features(image)[0][0])
    return found[..., :3], found[..., 3:].reshape(*found.shape[:2], 8, 8)


@pytest.mark.parametrize("colour", [BLACK, WHITE, RED, BLUE])
def test_a_flat_patch_is_its_colour_and_full(colour):
    found, mask = colour_and_mask(picture(colour))
    np.testing.assert_allclose(found, np.broadcast_to(colour, found.shape), atol=1e-6)
    assert np.all(mask == 1)


@pytest.mark.parametrize("around", [BLACK, WHITE, BLUE])
def test_along_an_edge_the_mask_is_the_same_whatever_meets(around):
    image = picture(around)
    for rows in range(1, 8):
        image[0, 8 : 8 + rows, 8:16] = RED
        found, mask = colour_and_mask(image)
        np.testing.assert_allclose(found[1, 1], RED, atol=1e-6)
        np.testing.assert_allclose(mask[1, 1], np.repeat(np.arange(8) < rows, 8).reshape(8, 8), atol=1e-5)
        np.testing.assert_allclose(found[2, 1], around, atol=1e-6)
        assert np.all(mask[2, 1] == 1)


def test_masks_of_larger_patches_are_means():
    image = picture(WHITE)
    image[0, 16:24, 16:23] = RED  # of a patch of 16 pixels the upper left quarter but for one column
    mask = np.asarray(coverage(jnp.asarray(image), 16)[0])[0, 1, 1, 3:].reshape(8, 8)
    expected = np.zeros((8, 8))
    expected[:4, :4] = (1, 1, 1, 0.5)
    np.testing.assert_allclose(mask, expected, atol=1e-5)


def test_what_covers_next_to_nothing_is_left_out():
    image = picture(WHITE)
    image[0, 8, 8:11] = RED  # 3 of 64 pixels; a sixteenth are 4
    found, mask = colour_and_mask(image)
    np.testing.assert_allclose(found[1, 1], WHITE, atol=1e-6)
    assert np.all(mask[1, 1] == 1)
    image[0, 8, 8:12] = RED
    found, mask = colour_and_mask(image)
    np.testing.assert_allclose(found[1, 1], RED, atol=1e-6)
    assert mask[1, 1].sum() == pytest.approx(4, abs=1e-3)


def test_pixels_between_two_colours_count_in_part_and_do_not_tell_the_colour():
    image = picture(BLACK)
    image[0, 8:16, 8:12] = RED
    image[0, 8:16, 12] = np.add(BLACK, RED) / 2  # as along an anti-aliased edge
    found, mask = colour_and_mask(image)
    np.testing.assert_allclose(found[1, 1], RED, atol=1e-6)
    np.testing.assert_allclose(mask[1, 1, 0], (1, 1, 1, 1, 0.5, 0, 0, 0), atol=1e-5)


def test_within_an_object_the_colour_farther_from_the_surround_is_named():
    image = picture(WHITE, 64)
    image[0, 16:40, 16:40] = RED
    image[0, 24:32, 24:28] = BLACK
    found, mask = colour_and_mask(image)
    np.testing.assert_allclose(found[3, 3], BLACK, atol=1e-6)
    assert mask[3, 3].mean() == pytest.approx(0.5, abs=1e-3)


def test_small_differences_are_one_colour_and_flat_patches_count_little():
    image = picture(WHITE) - np.random.default_rng(0).uniform(0, 0.1, (1, 32, 32, 1)).astype(np.float32)
    image[0, 8:12, 8:16] = RED
    found, weights = features(image)
    assert np.all(np.delete(np.asarray(found[0, ..., 3:]).reshape(16, 64), 5, axis=0) == 1)
    assert np.argmax(weights) == 5
    assert np.sort(np.asarray(weights).ravel())[-2] < 0.1
