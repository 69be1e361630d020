"""What is kept of a drawing's pixels: all ink, its proportions, and the quality that was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.clipart import encode


def page(height, width, box, colour=(200, 30, 30)):
    image = np.full((height, width, 3), 255, np.uint8)
    top, left, bottom, right = box
    image[top:bottom, left:right] = colour
    return image


@settings(max_examples=50)
@given(st.integers(5, 80), st.integers(5, 80), st.data())
def test_trim_keeps_all_ink_and_a_bounded_margin(height, width, data):
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    image = page(height, width, (top, left, bottom, right))
    cut = encode.trim(image)
    assert encode.ink(cut).sum() == encode.ink(image).sum()
    margin = round(encode.MARGIN * max(bottom - top, right - left))
    assert cut.shape[0] <= bottom - top + 2 * margin
    assert cut.shape[1] <= right - left + 2 * margin


def test_a_blank_page_stays():
    blank = np.full((9, 7, 3), 255, np.uint8)
    assert encode.trim(blank).shape == blank.shape
    assert not encode.ink(blank).any()


@pytest.mark.parametrize(("size", "want"), [((1000, 500), (512, 256)), ((300, 3000), (51, 512)), ((100, 80), (100, 80))])
def test_shrink_keeps_proportions_and_never_enlarges(size, want):
    assert encode.shrink(np.zeros((*size, 3), np.uint8), 512).shape == (*want, 3)


def test_shrink_averages_and_leaves_no_halo():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 200
    small = encode.shrink(stripes, 64)
    assert abs(small.astype(int).mean() - 100) < 2
    assert small.std() < 5
    edge = page(400, 400, (0, 0, 400, 200), (40, 40, 40))
    assert set(np.unique(encode.shrink(edge, 100))) <= set(range(40, 256))


def test_psnr_against_its_definition():
    a, b = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert encode.psnr(a, a) == 99
    assert encode.psnr(a, b) == pytest.approx(0)
    b[:] = 5
    assert encode.psnr(a, b) == pytest.approx(20 * np.log10(255 / 5), abs=1e-4)


def pictures():
    y, x = np.mgrid[0:60, 0:80]
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    smooth = np.stack([x, y, (x + y) // 2], -1).astype(np.uint8)
    return [page(60, 80, (10, 15, 45, 50)), smooth, noise]


def test_encoding_has_the_quality_it_says_and_that_was_asked_for():
    for image in pictures():
        data, quality = encode.encode(image, 40.0)
        assert quality >= 40
        assert encode.psnr(image, encode.decode_webp(data)) == pytest.approx(quality, abs=1e-3)
        assert encode.encode(image, 40.0)[0] == data
    assert len(encode.encode(pictures()[0], 40.0)[0]) < 200  # flat colours cost next to nothing


def test_a_large_file_is_made_smaller_in_pixels_not_in_quality():
    noise = pictures()[2]
    data, quality = encode.encode_within(noise, (80, 40, 20), 2500, 40.0)
    assert max(encode.decode_webp(data).shape) == 20
    assert quality >= 38
    data, _ = encode.encode_within(noise, (80, 40, 20), 10**6, 40.0)
    assert max(encode.decode_webp(data).shape) == 80


def test_colourless():
    assert encode.is_colourless(page(50, 50, (5, 5, 40, 40), (90, 90, 90)))
    assert not encode.is_colourless(page(50, 50, (5, 5, 40, 40), (90, 30, 90)))
