import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.mixture import drawn, draws_per_epoch, merged_draws

COUNTS = np.array([[1000, 200, 0, 7], [50, 0, 30, 20]])


def test_without_weights_every_image_is_drawn_once():
    np.testing.assert_array_equal(draws_per_epoch(COUNTS), COUNTS)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (3, 1), (0.01, 0.99)])
def test_weights_are_shares_of_the_epoch(weights):
    draws = draws_per_epoch(COUNTS, weights)
    share = draws.sum(axis=1) / draws.sum()
    np.testing.assert_allclose(share, np.array(weights) / np.sum(weights), atol=0.002)
    assert abs(int(draws.sum()) - int(COUNTS.sum())) <= draws.size
    assert ((draws > 0) == (COUNTS > 0)).all()


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([-3, 0, 1, 2, 3]), min_size=4, max_size=4))
def test_merging_loses_nothing_but_what_it_names(merged):
    merged = np.array(merged)
    made = merged_draws(COUNTS, merged)
    for bucket in range(4):
        np.testing.assert_array_equal(made[:, bucket], COUNTS[:, merged == bucket].sum(axis=1))


def test_every_pass_of_a_dataset_has_every_image_once():
    draws, counts = np.array([30, 10]), np.array([12, 25])
    seen = []
    for epoch in range(6):
        datasets, numbers, passes = drawn(np.arange(40), draws, counts, 3, epoch)
        assert np.bincount(datasets).tolist() == [30, 10]
        seen += zip(datasets.tolist(), passes.tolist(), numbers.tolist(), strict=True)
    assert len(set(seen)) == len(seen) == 240
    for dataset, count in enumerate(counts.tolist()):
        whole = 6 * draws[dataset] // count
        for number in range(whole):
            assert sorted(n for d, p, n in seen if (d, p) == (dataset, number)) == list(range(count))


def test_any_positions_of_an_order_are_found_alone():
    draws = counts = np.array([50, 20])
    whole = np.stack(drawn(np.arange(70), draws, counts, 0, 2, 1))
    some = np.array([69, 3, 3, 40])
    np.testing.assert_array_equal(np.stack(drawn(some, draws, counts, 0, 2, 1)), whole[:, some])
    assert (np.stack(drawn(np.arange(70), draws, counts, 1, 2, 1)) != whole).any()
