import json

import pytest

from ugf_jax.errors import InputError
from ugf_jax.evaluation.comparison import comparison_section, read_results


def results(correct, **more):
    estimate = {"value": correct, "stderr": 0.01, "n": 1000}
    run = {"checkpoint": {"workdir": "models/small", "step": 7}}
    return {"generation": {"all": {"correct": estimate, "score": estimate}}, "run": run, **more}


def test_only_figures_that_both_have_are_shown():
    psnr = {"master": {"psnr": {"value": 21.5, "stderr": None, "n": 3}}}
    section = comparison_section(results(0.5, reconstruction=psnr), results(0.975))
    (table,) = section.tables
    assert table.rows == [("generation: all", "all right, %", "50.0 ± 1.0 (1,000)", "97.5 ± 1.0 (1,000)")]
    assert table.columns[-1] == "small, step 7"
    both = comparison_section(results(0.5, reconstruction=psnr), results(0.975, reconstruction=psnr))
    assert ("reconstruction: master", "PSNR, dB", "21.5 (3)", "21.5 (3)") in both.tables[0].rows


def test_the_other_model_may_be_given_a_name():
    section = comparison_section(results(0.5), results(0.975), "the model that ships")
    assert section.title == "Beside the model that ships"
    assert section.tables[0].columns[-1] == "the model that ships"
    assert comparison_section(results(0.5), results(0.975)).title == "Beside models/small"


def test_nothing_in_common_gives_no_table():
    assert comparison_section(results(0.5), {"run": results(0)["run"]}).tables == []


@pytest.mark.parametrize("text", ["", "[1]", "{}"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=r"--beside .*results\.json"):
        read_results(tmp_path / "results.json")
    (tmp_path / "results.json").write_text(json.dumps(results(1.0)))
    assert read_results(tmp_path / "results.json")["run"]
    with pytest.raises(InputError, match="cannot be read"):
        read_results(tmp_path / "nothing")
