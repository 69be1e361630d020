"""Drawings that look alike are near, others are far, and groups are exactly the connected components."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ugf_jax.data.clipart import hashes


def drawing(seed, height=120, width=160):
    """A few rectangles on white; uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 255, np.uint8)
    for _ in range(6):
        top, left = rng.integers(0, height - 20), rng.integers(0, width - 20)
        image[top : top + rng.integers(10, 60), left : left + rng.integers(10, 60)] = rng.integers(0, 200, 3)
    return image


def between(a, b):
    found = hashes.stack([hashes.hash_image(a), hashes.hash_image(b)])
    phash, dhash = hashes.distances(found, 0, found)
    return int(phash[1]), int(dhash[1])


def test_copies_mirror_images_and_other_sizes_are_near():
    for seed in range(3):
        image = drawing(seed)
        assert between(image, image) == (0, 0)
        assert between(image, np.ascontiguousarray(image[:, ::-1])) == (0, 0)
        larger = image.repeat(2, 0).repeat(2, 1)
        assert all(d <= limit for d, limit in zip(between(image, larger), hashes.ALIKE, strict=True))


def test_different_drawings_are_not_alike():
    found = hashes.stack([hashes.hash_image(drawing(seed)) for seed in range(30)])
    assert not any(len(n) for n in hashes.neighbours(found, hashes.ALIKE))


def test_neighbours_are_symmetric_and_leave_out_oneself():
    images = [drawing(seed) for seed in (1, 2, 3)]
    images += [np.ascontiguousarray(i[:, ::-1]) for i in images]
    found = hashes.neighbours(hashes.stack([hashes.hash_image(i) for i in images]), hashes.ALIKE)
    assert [n.tolist() for n in found] == [[3], [4], [5], [0], [1], [2]]


@given(
    st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), max_size=20)))
)
def test_components_are_those_of_a_search(case):
    count, pairs = case
    reach = np.eye(count, dtype=bool)
    for a, b in pairs:
        reach[a, b] = reach[b, a] = True
    for _ in range(count):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    assert hashes.components(count, pairs).tolist() == [int(np.flatnonzero(row)[0]) for row in reach]
