import numpy as np

from ugf_jax.data.draws import Draws
from ugf_jax.data.permutation import mix


def test_the_stream_is_split_mix():
    draws = Draws(12345)
    state = np.uint64(12345)
    with np.errstate(over="ignore"):
        for _ in range(20):
            state += np.uint64(0x9E3779B97F4A7C15)
            assert draws.bits() == int(mix(np.array([state]))[0])


def test_numbers_are_uniform_and_within_their_limits():
    draws = Draws(2**64 - 1)
    fractions = np.array([draws.fraction() for _ in range(4000)])
    assert fractions.min() >= 0
    assert fractions.max() < 1
    assert abs(fractions.mean() - 0.5) < 0.02
    counts = np.bincount([draws.below(7) for _ in range(7000)], minlength=7)
    assert len(counts) == 7
    assert counts.min() > 850
    assert {draws.below(1) for _ in range(9)} == {0}


def test_some_are_different_numbers_in_every_order():
    seen = set()
    for key in range(400):
        seen.add(tuple(Draws(key).some(4, 2)))
    assert len(seen) == 12
    assert all(len(set(pair)) == 2 and max(pair) < 4 for pair in seen)
    assert sorted(Draws(1).some(3, 9)) == [0, 1, 2]
    assert Draws(1).some(0, 3) == []
