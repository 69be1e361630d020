import pytest
from etils import epath

from ugf_jax.errors import InputError
from ugf_jax.evaluation.batches import captioned, evenly, grouped, measure_batches
from ugf_jax.evaluation.sample_log import SampleLog

BATCHES = grouped(range(10), lambda row: row % 3, 3)


def test_every_item_is_in_one_batch_of_its_group():
    assert sorted(row for batch in BATCHES for row in batch) == list(range(10))
    assert all(len({row % 3 for row in batch}) == 1 and len(batch) <= 3 for batch in BATCHES)


def test_evenly_takes_as_many_as_there_are():
    assert evenly("abcdef", 3) == ["a", "c", "e"]
    assert evenly("abc", 7) == evenly("abc", None) == ["a", "b", "c"]


def test_a_killed_evaluation_continues_with_the_batches_that_are_not_whole(tmp_path):
    calls = []

    def compute(rows):
        calls.append(rows)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return [{"value": row**2} for row in rows]

    path = epath.Path(tmp_path / "samples.jsonl")
    with pytest.raises(KeyboardInterrupt):
        measure_batches("squares", BATCHES, compute, SampleLog(path, {"a": 1}), quiet=True)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")  # the last line was lost as well: its batch is not whole
    samples = measure_batches("squares", BATCHES, compute, SampleLog(path, {"a": 1}), quiet=True)
    assert [s["value"] for s in samples] == [row**2 for row in range(10)]
    assert calls == [*BATCHES[:3], *BATCHES[1:]]
    rows = [SampleLog(path, {"a": 1}).samples.keys()]
    assert sorted(rows[0]) == list(range(10))
    again = measure_batches("squares", BATCHES, compute, SampleLog(path, {"a": 1}), quiet=True)
    assert again == samples
    assert len(calls) == 3 + len(BATCHES) - 1


def test_each_item_needs_its_sample(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        measure_batches("x", [(0, 1)], lambda rows: [{}], SampleLog(epath.Path(tmp_path / "l"), {}), quiet=True)


def test_captioned_records_are_those_with_image_and_caption(scenes, dataset):
    numbers = captioned(scenes, None)
    assert len(numbers) == 25
    assert all(scenes.record(n).images and scenes.record(n).captions for n in numbers)
    assert captioned(scenes, 5) == evenly(numbers, 5)


def test_a_dataset_without_any_is_refused(tmp_path):
    from ugf_jax.data.records import Record
    from ugf_jax.data.shards import write_dataset

    with pytest.raises(InputError, match="no image with a caption"):
        captioned(write_dataset(tmp_path / "d", [Record(key="a", captions=("x",))]), None)
