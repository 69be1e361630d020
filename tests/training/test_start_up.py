"""The parts of a start add up to the age of the process, and are told in order."""

import time

from ugf_jax.training.start_up import StartUp, process_age


def test_parts_add_up_to_the_age():
    ages = iter([3.0, 4.25, 10.0])
    start_up = StartUp(lambda: next(ages))
    for part in ("imports", "data", "compile"):
        start_up.done(part)
    assert start_up.parts == {"imports": 3.0, "data": 1.25, "compile": 5.75}
    assert start_up.total == 10.0
    assert str(start_up) == "first step after 10.0 s: imports 3.0, data 1.2, compile 5.8"


def test_without_an_age_it_begins_where_it_is_made():
    start_up = StartUp()
    start_up.done("data")
    assert 0 <= start_up.parts["data"] < process_age()


def test_a_process_is_older_than_its_work_and_younger_than_its_machine():
    age = process_age()
    assert 0 < age <= process_age()
    assert age < time.clock_gettime(time.CLOCK_BOOTTIME)
    assert age > time.thread_time()
