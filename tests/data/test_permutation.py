import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.permutation import key, permute


@settings(deadline=None, derandomize=True)
@given(size=st.integers(1, 5000), seed=st.integers(0, 2**63))
def test_every_size_is_permuted(size, seed):
    np.testing.assert_array_equal(np.sort(permute(np.arange(size), size, key(seed))), np.arange(size))


@settings(deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_sizes_and_keys_may_differ_by_element(seed, data):
    sizes = np.array(data.draw(st.lists(st.integers(1, 2**48), min_size=1, max_size=20)))
    index = np.array([data.draw(st.integers(0, int(s) - 1)) for s in sizes])
    keys = key(seed, np.arange(len(sizes)))
    together = permute(index, sizes, keys)
    alone = [permute(index[i : i + 1], int(sizes[i]), keys[i : i + 1])[0] for i in range(len(sizes))]
    np.testing.assert_array_equal(together, alone)
    assert ((together >= 0) & (together < sizes)).all()


@pytest.mark.parametrize("size", [4, 50])
def test_places_are_uniform(size):
    seeds = 4000
    table = np.zeros((size, size))
    for seed in range(seeds):
        table[np.arange(size), permute(np.arange(size), size, key(7, seed))] += 1
    expected, freedom = seeds / size, (size - 1) ** 2
    statistic = ((table - expected) ** 2 / expected).sum()
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def test_neighbours_are_scattered():
    size = 500
    steps = np.zeros(size)
    for seed in range(200):
        order = permute(np.arange(size), size, key(seed, 1))
        steps += np.bincount(np.diff(order) % size, minlength=size)
    expected = steps.sum() / (size - 1)
    statistic = ((steps[1:] - expected) ** 2 / expected).sum()
    assert steps[0] == 0
    assert abs(statistic - (size - 2)) < 5 * np.sqrt(2 * (size - 2))


def test_keys_depend_on_every_part_and_on_their_order():
    made = [key(*parts)[0] for parts in [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 0, 0), (2**63,)]]
    assert len(set(made)) == len(made)


def test_the_order_is_the_same_forever():
    # A changed value here means that runs could not be resumed: change `loader.PLAN_VERSION` with it.
    assert permute(np.arange(10), 10, key(0)).tolist() == [7, 1, 3, 2, 4, 5, 0, 9, 8, 6]
    assert permute(np.array([0, 1, 2]), 10**12, key(1, 2)).tolist() == [840838563930, 527202534803, 513307134410]
