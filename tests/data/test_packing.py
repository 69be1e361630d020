"""Packing keeps every budget, loses nothing, repeats nothing, depends on nothing else, and fills rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.packing import HEADS, Layout, choose_layout, pack, rows_needed

BUDGETS = (20, 9, 2)
SIZES = st.lists(st.tuples(st.integers(1, 25), st.integers(0, 10), st.integers(0, 1)), min_size=1, max_size=60)


def used(sizes, placed, rows):
    total = np.zeros((rows, sizes.shape[1]), np.int64)
    np.add.at(total, placed[placed >= 0], sizes[placed >= 0])
    return total


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SIZES, st.integers(1, 12), st.sampled_from(HEADS))
def test_budgets_are_kept_and_what_is_left_over_fits_nowhere(sizes, rows, head):
    sizes = np.array(sizes)
    layout = Layout(head, 0.1)
    placed = pack(sizes, BUDGETS, rows, layout)
    assert placed.shape == (len(sizes),)
    assert placed.min() >= -1
    assert placed.max() < rows
    total = used(sizes, placed, rows)
    assert (total <= BUDGETS).all()
    free = np.array(BUDGETS) - total
    for size in sizes[placed < 0]:
        assert not (size <= free).all(axis=1).any()
    np.testing.assert_array_equal(pack(sizes, BUDGETS, rows, layout), placed)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=40))
def test_first_fit_decreasing_is_the_textbook_one(lengths):
    rows: list[int] = []
    expected = {}
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((r for r, n in enumerate(rows) if n + lengths[item] <= 20), len(rows))
        rows[row:] = [*rows[row:], 0] if row == len(rows) else rows[row:]
        rows[row] += lengths[item]
        expected[item] = row
    placed = pack(np.array(lengths)[:, None], (20,), len(lengths), Layout())
    assert placed.tolist() == [expected[i] for i in range(len(lengths))]


def test_as_many_rows_as_items_take_every_item_that_fits_one():
    sizes = np.random.default_rng(0).integers(1, 9, (50, 3))
    for head in HEADS:
        assert (pack(sizes, (8, 8, 8), 50, Layout(head)) >= 0).all()


def test_nothing_to_place():
    assert pack(np.zeros((0, 3), int), BUDGETS, 4, Layout()).shape == (0,)
    assert pack(np.zeros((3, 3), int), BUDGETS, 4, Layout()).tolist() == [0, 0, 0]
    assert pack(np.array([[1, 0, 1]]), (5, 5, 0), 4, Layout()).tolist() == [-1]


MIXTURES = {
    "like sizes": (lambda rng, n: (rng.integers(70, 101, n), np.full(n, 64)), (512, 4096)),
    "auxiliary binds": (lambda rng, n: (rng.integers(70, 101, n), rng.integers(20, 257, n)), (512, 600)),
    "all sizes": (lambda rng, n: (np.clip(rng.lognormal(5, 0.8, n), 5, 2048).astype(int), np.zeros(n, int)), (2048, 1)),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_the_chosen_layout_fills_rows_of_other_items_of_the_kind(name):
    make, budgets = MIXTURES[name]
    rng = np.random.default_rng(0)
    sample, others = (np.stack(make(rng, n), axis=1) for n in (1500, 4000))
    layout = choose_layout(sample, budgets)
    rows = round(rows_needed(others, budgets) * (1 + layout.gap))
    kept = pack(others, budgets, rows, layout) >= 0
    assert rows_needed(others[kept], budgets) / rows >= 0.95
    assert kept.mean() >= 0.97


def test_like_sizes_need_more_than_first_fit():
    make, budgets = MIXTURES["like sizes"]
    sizes = np.stack(make(np.random.default_rng(0), 2000), axis=1)
    opened = pack(sizes, budgets, len(sizes), Layout()).max() + 1
    assert rows_needed(sizes, budgets) / opened < 0.95
    assert (pack(sizes, budgets, int(opened * 0.96), Layout(0.0)) >= 0).all()


def test_where_rows_are_short_the_order_decides_what_is_left_over_not_the_size():
    sizes = np.clip(np.random.default_rng(0).lognormal(5, 0.8, 3000), 5, 2048).astype(int)[:, None]
    left = pack(sizes, (2048,), int(0.8 * rows_needed(sizes, (2048,))), Layout()) < 0
    assert 0.1 < left.mean() < 0.3
    assert left[:1500].mean() < 0.01
    assert sizes[left].mean() > 0.9 * sizes.mean()
