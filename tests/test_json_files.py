import math

import pytest
from etils import epath

from ugf_jax.errors import InputError
from ugf_jax.json_files import JsonLines, finite, write_json


def test_lines_come_back_in_order(tmp_path):
    lines = JsonLines(tmp_path / "a.jsonl")
    assert lines.read() == []
    objects = [{"n": n, "text": "é\n"} for n in range(3)]
    for values in objects:
        lines.append(values)
    assert lines.read() == JsonLines(tmp_path / "a.jsonl").read() == objects
    assert (tmp_path / "a.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_a_kill_cut_short_costs_only_itself(tmp_path, cut):
    path = tmp_path / "a.jsonl"
    for text in ("first", "é"):
        JsonLines(path).append({"t": text})
    path.write_bytes(path.read_bytes()[:-cut])
    JsonLines(path).append({"t": "last"})
    kept = [{"t": "first"}, {"t": "é"}] if cut == 1 else [{"t": "first"}]
    assert JsonLines(path).read() == [*kept, {"t": "last"}]


def test_keep_replaces_the_file_with_what_is_wanted(tmp_path):
    lines = JsonLines(tmp_path / "a.jsonl")
    lines.keep(lambda line: True)
    assert not lines.path.exists()
    for n in range(6):
        lines.append({"n": n})
    lines.keep(lambda line: line["n"] % 2 == 0)
    lines.append({"n": 9})
    assert [line["n"] for line in lines.read()] == [0, 2, 4, 9]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_errors_name_the_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere/a.jsonl: cannot write \(No such file or directory\)"):
        JsonLines(tmp_path / "nowhere" / "a.jsonl").append({})


def test_numbers_of_float32_keep_their_digits_and_nan_becomes_null():
    assert finite(0.1) == 0.1
    assert finite(1.2345678901e-9) == 1.234568e-9
    assert [finite(x) for x in (math.nan, math.inf, -math.inf)] == [None] * 3


def test_write_json_leaves_the_old_file_when_the_values_do_not_fit(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"a": math.nan})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_files_in_an_object_store(bucket):
    write_json(f"{bucket}/run/a.json", {"a": 1})
    write_json(f"{bucket}/run/a.json", {"a": 2})
    assert epath.Path(f"{bucket}/run/a.json").read_text() == '{\n  "a": 2\n}\n'
    lines = JsonLines(f"{bucket}/run/a.jsonl")
    for n in range(4):
        lines.append({"n": n})
    lines.keep(lambda line: line["n"] % 2 == 0)
    assert JsonLines(f"{bucket}/run/a.jsonl").read() == [{"n": 0}, {"n": 2}]
    assert sorted(p.name for p in epath.Path(f"{bucket}/run").iterdir()) == ["a.json", "a.jsonl"]
