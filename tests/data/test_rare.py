import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.buckets import RARE, BucketSettings, losses, make_buckets, reach
from ugf_jax.data.rare import merge_rare

SETTINGS = BucketSettings(scales=(128, 256), patch=16)
BUCKETS = make_buckets(SETTINGS)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    counts=st.lists(st.integers(0, 30), min_size=len(BUCKETS), max_size=len(BUCKETS)),
    least=st.integers(1, 40),
    max_crop=st.floats(0, 0.9),
)
def test_what_remains_is_large_enough_and_not_cut_too_much(counts, least, max_crop):
    merged = merge_rare(BUCKETS, np.array(counts), np.full(len(BUCKETS), least), max_crop, SETTINGS)
    kept = np.zeros(len(BUCKETS), int)
    for source, target in enumerate(merged):
        if counts[source] and target != RARE:
            kept[target] += counts[source]
            assert merged[target] == target
            if target != source:
                edges = BUCKETS[source].aspect * np.array([1 / reach(SETTINGS), 1, reach(SETTINGS)])
                assert losses(np.ones(3), edges, BUCKETS[target], SETTINGS)[0].max() <= max_crop
        if counts[source] >= least:
            assert target == source
    assert ((kept == 0) | (kept >= least)).all()


def test_rare_neighbours_make_one_good_bucket_and_lonely_images_are_named():
    counts = np.zeros(len(BUCKETS), int)
    square = [str(b) for b in BUCKETS].index("256x256")
    counts[square - 1], counts[square], counts[square + 1] = 6, 5, 20
    merged = merge_rare(BUCKETS, counts, np.full(len(BUCKETS), 10), 0.25, SETTINGS)
    assert merged[square] == merged[square - 1] != merged[square + 1]
    counts[:] = 0
    counts[square], counts[-1] = 20, 1
    merged = merge_rare(BUCKETS, counts, np.full(len(BUCKETS), 10), 0.25, SETTINGS)
    assert merged[-1] == RARE
    assert merged[square] == square


def test_a_rare_shape_prefers_its_scale_to_a_smaller_and_that_to_a_larger_one():
    small = [str(b) for b in BUCKETS].index("128x128")
    large = [str(b) for b in BUCKETS].index("256x256")
    counts, least = np.zeros(len(BUCKETS), int), np.full(len(BUCKETS), 10)
    counts[[small, large]] = 20, 1
    assert merge_rare(BUCKETS, counts, least, 0.25, SETTINGS)[large] == small
    counts[[small, large]] = 1, 20
    assert merge_rare(BUCKETS, counts, least, 0.25, SETTINGS)[small] == large
    counts[[small, large, large + 1]] = 20, 1, 20
    assert merge_rare(BUCKETS, counts, least, 0.25, SETTINGS)[large] == large + 1
    assert merge_rare(BUCKETS, counts, least, 0.1, SETTINGS)[large] == small
