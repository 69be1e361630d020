import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.buckets import RARE, BucketSettings, assign, make_buckets
from ugf_jax.data.ranks import Ranks

SETTINGS = BucketSettings(scales=(128, 256), patch=16)
BUCKETS = make_buckets(SETTINGS)


def sizes(rows, seed=0):
    return np.random.default_rng(seed).integers(0, 600, (2, rows)).astype(np.uint32)


def check(ranks, numbers):
    for bucket in range(len(BUCKETS)):
        rows = np.flatnonzero(numbers == bucket)
        assert ranks.counts[bucket] == len(rows)
        if len(rows):
            order = np.random.default_rng(1).permutation(len(rows))
            np.testing.assert_array_equal(ranks.select(bucket, order), rows[order])
    assert ranks.counts.sum() + sum(ranks.reasons.values()) == len(numbers)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(rows=st.integers(1, 2000), seed=st.integers(0, 100))
def test_ranks_find_what_a_list_of_rows_would(rows, seed):
    heights, widths = sizes(rows, seed)
    check(Ranks([(heights, widths)], BUCKETS, SETTINGS), assign(heights, widths, BUCKETS, SETTINGS))


@pytest.mark.parametrize("cuts", [[], [1024], [1024, 2048, 4096], [1000, 1001]])
def test_pieces_and_small_tables_change_nothing(cuts):
    heights, widths = sizes(5000)
    pieces = list(zip(np.split(heights, cuts), np.split(widths, cuts), strict=True))
    ranks = Ranks(pieces, BUCKETS, SETTINGS, table_entries=8 * len(BUCKETS))
    assert ranks.block > 256
    check(ranks, assign(heights, widths, BUCKETS, SETTINGS))


def test_merged_buckets_are_found_as_one():
    heights, widths = sizes(3000)
    numbers = assign(heights, widths, BUCKETS, SETTINGS)
    merged = np.arange(len(BUCKETS), dtype=np.int16)
    merged[[3, 4]], merged[7] = 5, RARE
    ranks = Ranks([(heights, widths)], BUCKETS, SETTINGS)
    ranks.merge(merged)
    expected = np.where(numbers >= 0, merged[np.maximum(numbers, 0)], numbers)
    check(ranks, expected)
    assert ranks.reasons[RARE] == (numbers == 7).sum()
