import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.evaluation import shapes

SIDES = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 90)), min_size=1, max_size=60)


def padded(height, width):
    return -(-height // 16) * 16, -(-width // 16) * 16


@settings(max_examples=50, deadline=None)
@given(SIDES, st.none() | st.integers(1, 80), st.sampled_from([1, 4096, 2**20]))
def test_every_image_is_in_exactly_one_batch_of_its_canvas(sides, limit, batch_pixels):
    heights, widths = np.array(sides).T
    batches = shapes.plan_batches(heights, widths, padded, limit, batch_pixels)
    rows = [row for batch in batches for row in batch.rows]
    images = int((heights > 0).sum())
    assert len(rows) == len(set(rows)) == (images if limit is None else min(limit, images))
    assert all(heights[row] > 0 for row in rows)
    for batch in batches:
        assert all(padded(heights[row], widths[row]) == batch.canvas for row in batch.rows)
        assert len(batch.rows) <= batch.size
        assert batch.size == 1 or batch.size * math.prod(batch.canvas) <= batch_pixels
    assert len({(b.canvas, b.size) for b in batches}) == len({b.canvas for b in batches})  # one compilation a canvas


def test_a_limit_takes_images_from_the_whole_dataset():
    batches = shapes.plan_batches(np.full(100, 16), np.full(100, 16), padded, limit=4)
    assert sorted(row for b in batches for row in b.rows) == [0, 25, 50, 75]


@pytest.mark.parametrize(("size", "name"), [((300, 400), "4:3"), ((400, 300), "3:4"), ((100, 101), "1:1"), ((10, 900), "4:1")])
def test_aspect_is_width_to_height(size, name):
    assert shapes.aspect_class(*size) == name


def test_names_are_symmetric_and_scales_are_powers_of_two():
    for height, width in ((7, 90), (33, 44), (500, 512), (100, 160)):
        name = shapes.aspect_class(height, width)
        assert shapes.aspect_class(width, height) == ":".join(reversed(name.split(":")))
    assert [shapes.scale_class(s, s) for s in (90, 91, 181, 182, 512)] == [64, 128, 128, 256, 512]
    assert shapes.scale_class(256, 1024) == 512
