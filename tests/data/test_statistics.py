import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.buckets import BucketSettings, assign, losses, make_buckets
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.data.statistics import bucket_uses, spread, text_statistics

SETTINGS = BucketSettings(scales=(64, 128), patch=8)
BUCKETS = make_buckets(SETTINGS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    sizes = np.random.default_rng(0).integers(40, 300, (200, 2)).tolist()
    records = [Record(key=str(i), images=(b"-",), sizes=((h, w),)) for i, (h, w) in enumerate(sizes)]
    return write_dataset(tmp_path_factory.mktemp("statistics") / "d", [*records, Record(key="text", captions=("a",))])


def test_every_row_is_in_one_line_and_losses_are_those_of_the_images(dataset):
    uses, without = bucket_uses(dataset, BUCKETS, SETTINGS, batch_size=1, max_crop=0.25)
    assert sum(u.images for u in uses) + sum(without.values()) == dataset.num_rows
    assert without["no image"] == 1
    numbers = assign(dataset.heights, dataset.widths, BUCKETS, SETTINGS)
    for use in uses:
        own = numbers == BUCKETS.index(use.bucket)
        crop, stretch = losses(dataset.heights[own], dataset.widths[own], use.bucket, SETTINGS)
        assert use.images == own.sum()
        assert use.target == use.bucket
        np.testing.assert_allclose([use.crop_mean, use.crop_max], [crop.mean(), crop.max()])
        np.testing.assert_allclose([use.stretch_mean, use.stretch_max], [stretch.mean(), stretch.max()])
        assert use.crop_max <= SETTINGS.max_crop + 1e-6


def test_buckets_with_too_few_images_say_where_they_go(dataset):
    uses, _ = bucket_uses(dataset, BUCKETS, SETTINGS, batch_size=12, max_crop=0.25)
    kept: dict = {}
    for use in uses:
        kept[use.target] = kept.get(use.target, 0) + use.images
    assert any(use.target != use.bucket for use in uses)
    assert all(count >= 12 for target, count in kept.items() if target)
    assert all(use.crop_max <= 0.25 for use in uses if use.target)


@settings(deadline=None, derandomize=True)
@given(numbers=st.lists(st.integers(-3, 5), max_size=60), count=st.integers(1, 30))
def test_the_choice_of_rows_shows_all_buckets_equally(numbers, count):
    numbers = np.array(numbers, np.int16)
    rows = spread(numbers, count)
    assert len(set(rows)) == len(rows) == min(count, (numbers >= 0).sum())
    shown = [sum(numbers[r] == b for r in rows) for b in range(6)]
    there = [(numbers == b).sum() for b in range(6)]
    for a in range(6):
        for b in range(6):
            assert shown[a] >= min(shown[b] - 1, there[a])


def test_texts_are_counted():
    records = [
        Record(key="a", captions=("one two three", "one")),
        Record(key="b", captions=("one",), questions=({"question": "?", "answer": "!", "kind": "x"},)),
        Record(key="c", turns=({"from": "human", "value": "hi"},), scene={}),
    ]
    found = text_statistics(records)
    assert (found["records"], found["with_captions"], found["captions"], found["distinct_captions"]) == (3, 2, 3, 2)
    assert (found["with_turns"], found["questions"], found["with_scene"]) == (1, 1, 1)
    assert found["words"]["mean"] == pytest.approx(5 / 3)
    assert found["words"]["max"] == 3
    assert "words" not in text_statistics([])
