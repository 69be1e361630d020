import pytest

from launch.policy import Restarts


@pytest.mark.parametrize("code", [0, 2])
def test_done_and_wrong_input_end_a_run(code):
    assert not Restarts(1000).again(code)


def test_preemptions_are_not_counted_and_crashes_are():
    restarts = Restarts(3)
    assert all(restarts.again(75) for _ in range(1000))
    assert [restarts.again(code) for code in (1, 75, 134, 75, -9, 75, 1)] == [True] * 6 + [False]
    assert not Restarts(0).again(1)
    assert Restarts(0).again(75)
