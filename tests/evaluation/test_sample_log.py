import json

from etils import epath

from ugf_jax.evaluation.sample_log import SampleLog

HEADER = {"step": 3, "settings": {"codecs": ("jpeg",)}}


def sample(row):
    return {"row": row, "psnr": row / 3}


def test_what_was_written_is_read_again_once(tmp_path):
    path = epath.Path(tmp_path) / "samples.jsonl"
    log = SampleLog(path, HEADER)
    log.append([sample(4), sample(1)])
    log.append([sample(1), sample(2)])
    again = SampleLog(path, HEADER)
    assert again.samples == log.samples == {r: sample(r) for r in (4, 1, 2)}
    assert len(path.read_text().splitlines()) == 4
    assert again.replaced is None


def test_a_torn_or_damaged_line_is_dropped_and_the_rest_kept(tmp_path):
    path = epath.Path(tmp_path) / "samples.jsonl"
    SampleLog(path, HEADER).append([sample(1), sample(2)])
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, whole.index(b"\n") + 1, -1):
        path.write_bytes(whole[:cut])
        log = SampleLog(path, HEADER)
        assert set(log.samples) <= {1, 2}
        log.append([sample(1), sample(2)])
        assert SampleLog(path, HEADER).samples == {1: sample(1), 2: sample(2)}
        assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_log_of_something_else_is_put_aside(tmp_path):
    path = epath.Path(tmp_path) / "samples.jsonl"
    SampleLog(path, HEADER).append([sample(1)])
    log = SampleLog(path, HEADER | {"step": 4})
    assert log.samples == {}
    assert log.replaced["step"] == 3
    assert json.loads((tmp_path / "samples.jsonl.old").read_text().splitlines()[1]) == sample(1)
    path.write_bytes(b"not json")
    assert SampleLog(path, HEADER).samples == {}
