import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data import buckets
from ugf_jax.data.buckets import Assigner, Bucket, BucketSettings, assign, crop_box, fit, losses, make_buckets, reach
from ugf_jax.errors import InputError

SETTINGS = BucketSettings(scales=(256, 512, 1024))
BUCKETS = make_buckets(SETTINGS)
SIDES = st.integers(1, 5000)


@pytest.mark.parametrize(("scale", "patch"), [(64, 8), (128, 8), (128, 16), (256, 16), (512, 16), (1024, 32), (2048, 16)])
def test_buckets_keep_within_the_pixels_the_grid_and_the_aspect_ratios(scale, patch):
    made = make_buckets(BucketSettings(scales=(scale,), patch=patch))
    assert len(set(made)) == len(made)
    assert Bucket(scale, scale, scale) in made
    for bucket in made:
        assert bucket.height % patch == bucket.width % patch == 0
        assert scale**2 / 2 <= bucket.height * bucket.width <= scale**2
        assert 1 / 4 <= bucket.aspect <= 4
        assert Bucket(bucket.width, bucket.height, scale) in made


def test_buckets_cover_every_aspect_ratio_and_are_no_finer_than_that():
    aspects = np.exp(np.linspace(-math.log(4), math.log(4), 20001))
    for scale in SETTINGS.scales:
        one = [b for b in BUCKETS if b.scale == scale]
        centres = np.array(sorted(b.aspect for b in one))
        difference = np.exp(np.abs(np.log(aspects[:, None] / centres)).min(axis=1))
        assert difference.max() <= reach(SETTINGS) * (1 + 1e-6)
        # Every second wide bucket alone would leave a gap.
        wide = centres[centres >= 1]
        assert (wide[2:] / wide[:-2] > reach(SETTINGS) ** 2).all()


@settings(deadline=None, derandomize=True)
@given(height=SIDES, width=SIDES)
def test_images_go_to_the_nearest_bucket_of_the_right_scale(height, width):
    number = int(assign(np.array([height]), np.array([width]), BUCKETS, SETTINGS)[0])

    def distance(bucket):
        return abs(math.log(width / height / bucket.aspect))

    limit = math.log(reach(SETTINGS)) + 1e-6
    nearest = [min((b for b in BUCKETS if b.scale == s), key=distance) for s in SETTINGS.scales]
    nearest = [b for b in nearest if distance(b) <= limit]
    if not nearest:
        assert number == buckets.OUT_OF_RANGE
        return
    found = BUCKETS[number]
    assert distance(found) <= limit
    assert any(b.scale == found.scale and distance(found) <= distance(b) + 1e-9 for b in nearest)
    fine = [b for b in nearest if b.height * b.width <= height * width * SETTINGS.max_upscale**2]
    assert found.scale == (fine or nearest[:1])[-1].scale


def test_rows_without_a_bucket_say_why_and_chunks_change_nothing():
    heights, widths = np.array([0, 10, 300, 300]), np.array([0, 100, 300, 301])
    assert assign(heights, widths, BUCKETS, SETTINGS)[:2].tolist() == [buckets.NO_IMAGE, buckets.OUT_OF_RANGE]
    rng = np.random.default_rng(0)
    heights, widths = rng.integers(1, 4000, (2, 1000)).astype(np.uint32)
    assigner = Assigner(BUCKETS, SETTINGS)
    pieces = [assigner(heights[i : i + 7], widths[i : i + 7]) for i in range(0, 1000, 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), assign(heights, widths, BUCKETS, SETTINGS))
    np.testing.assert_array_equal(assigner(heights.reshape(10, 100), widths.reshape(10, 100)).ravel(), np.concatenate(pieces))


@settings(deadline=None, derandomize=True)
@given(height=SIDES, width=SIDES)
def test_losses_stay_within_the_limits(height, width):
    number = int(assign(np.array([height]), np.array([width]), BUCKETS, SETTINGS)[0])
    if number >= 0:
        crop, stretch = losses(np.array([height]), np.array([width]), BUCKETS[number], SETTINGS)
        assert 0 <= crop[0] <= SETTINGS.max_crop + 1e-6
        assert 0 <= stretch[0] <= SETTINGS.max_stretch + 1e-6


@settings(deadline=None, derandomize=True)
@given(height=st.integers(64, 5000), width=st.integers(64, 5000), bucket=st.sampled_from(BUCKETS))
def test_crop_is_central_and_leaves_the_stated_stretch(height, width, bucket):
    top, left, kept_height, kept_width = crop_box(height, width, bucket, SETTINGS)
    assert 0 <= height - kept_height - 2 * top <= 1
    assert 0 <= width - kept_width - 2 * left <= 1
    assert kept_height == height or kept_width == width
    crop, stretch = losses(np.array(height), np.array(width), bucket, SETTINGS)
    kept = kept_height * kept_width / (height * width)
    assert abs((1 - kept) - crop) <= 0.51 / min(kept_height, kept_width)
    ratio = kept_width / kept_height / bucket.aspect
    assert abs(max(ratio, 1 / ratio) - (1 + stretch)) <= 2.2 / min(kept_height, kept_width)


@pytest.mark.parametrize("size", [(256, 256), (640, 640), (700, 730), (900, 1300), (200, 260)])
def test_fit_maps_a_gradient_to_the_gradient_of_the_cropped_part(size):
    height, width = size
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    image = np.stack(np.broadcast_arrays(255 * rows[:, None], 255 * columns, 128.0), axis=-1).round().astype(np.uint8)
    bucket = BUCKETS[int(assign(np.array([height]), np.array([width]), BUCKETS, BucketSettings())[0])]
    made = fit(image, bucket)
    top, left, kept_height, kept_width = crop_box(height, width, bucket, BucketSettings())
    expected_rows = 255 * (top + (np.arange(bucket.height) + 0.5) / bucket.height * kept_height) / height
    expected_columns = 255 * (left + (np.arange(bucket.width) + 0.5) / bucket.width * kept_width) / width
    assert made.shape == (bucket.height, bucket.width, 3)
    assert made.dtype == np.uint8
    inner = (slice(2, -2), slice(2, -2))
    assert np.abs(made[..., 0] - expected_rows[:, None])[inner].max() <= 1.1
    assert np.abs(made[..., 1] - expected_columns)[inner].max() <= 1.1
    assert (made[..., 2] == 128).all()


def test_fit_does_not_alias_and_keeps_an_exact_fit_untouched():
    fine = np.random.default_rng(1).integers(0, 256, (1024, 1024, 3), np.uint8)
    shrunk = fit(fine, Bucket(256, 256, 256))
    # Each pixel is the mean of 16 that are independent; resampling without a filter would keep most of their spread.
    assert shrunk.std() == pytest.approx(fine.std() / 4, rel=0.02)
    assert shrunk.mean() == pytest.approx(fine.mean(), abs=0.6)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    np.testing.assert_array_equal(fit(noise, Bucket(256, 256, 256)), noise)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (BucketSettings(scales=(64,), patch=16), "max_stretch = max_crop = 0.08"),
        (BucketSettings(scales=(250,)), "config.data.scales: 250 is not a multiple"),
        (BucketSettings(scales=()), "at least one scale"),
        (BucketSettings(scales=(256, 256)), "each once"),
    ],
)
def test_impossible_settings_end_in_one_line_that_says_what_would_work(settings, words):
    with pytest.raises(InputError, match=words) as caught:
        make_buckets(settings)
    assert "\n" not in str(caught.value)


def test_the_advice_for_a_coarse_grid_works():
    assert make_buckets(BucketSettings(scales=(64,), patch=16, max_stretch=0.08, max_crop=0.08))
