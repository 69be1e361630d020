"""Batches come in order and whole, however many threads make them."""

import dataclasses
import itertools

import numpy as np
import pytest

from ugf_jax.data.ahead import Batch, batches_ahead


@dataclasses.dataclass(frozen=True)
class Settings:
    threads: int = 2
    prefetch: int = 2


def load(step, part, parts):
    rows = np.arange(12 * part // parts, 12 * (part + 1) // parts)
    return Batch("shape", {"x": 100 * step + rows}, step // 5)


@pytest.mark.parametrize("settings", [Settings(), Settings(1, 1), Settings(5, 3), Settings(40, 2)])
def test_batches_come_in_order_and_whole(settings):
    batches = itertools.islice(batches_ahead(load, 3, 12, settings), 6)
    for step, batch in enumerate(batches, 3):
        np.testing.assert_array_equal(batch.arrays["x"], 100 * step + np.arange(12))
        assert (batch.bucket, batch.epoch) == ("shape", step // 5)


def test_no_batch_is_cut_into_more_parts_than_it_has_items():
    seen = []

    def note(step, part, parts):
        seen.append(parts)
        return load(step, part, parts)

    next(batches_ahead(note, 0, 3, Settings(threads=8)))
    assert set(seen) == {3}


def test_an_error_reaches_whoever_reads():
    def fail(step, part, parts):
        if step == 2:
            raise KeyError("lost")
        return load(step, part, parts)

    stream = batches_ahead(fail, 0, 12, Settings())
    with pytest.raises(KeyError, match="lost"):
        list(itertools.islice(stream, 5))
