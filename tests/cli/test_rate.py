"""`ugf rate` as its users type it."""

import pytest

from ugf_jax.cli import app, rate
from ugf_jax.config import parse
from ugf_jax.data.index import open_dataset
from ugf_jax.data.preference_loader import PreferenceLoader, PreferenceSettings
from ugf_jax.training.bundle import read_settings


def call(*arguments):
    rate.FLAGS.unparse_flags()
    for name in rate.FLAGS:
        rate.FLAGS[name].unparse()
    return app.call("rate", rate.__doc__, rate.FLAGS, rate.main, list(arguments))


def test_a_dataset_of_preferences_is_made_that_training_reads(tiny_model, tmp_path, capsys):
    output = tmp_path / "rated"
    arguments = [f"--model={tiny_model}", "--prompts=shapes:train:24", "--samples=2", "--size=16x16", f"--output={output}"]
    assert call(*arguments) == 0
    assert "train " in capsys.readouterr().out
    prompts = set()
    for split in ("train", "validation", "test"):
        dataset = open_dataset(output / split)
        records = [dataset.record(i) for i in range(dataset.num_records)]
        assert all(len(record.codes) == 2 and record.pairs and record.meta["requirement"] for record in records)
        assert prompts.isdisjoint(record.captions[0] for record in records)
        prompts |= {record.captions[0] for record in records}
    assert len(prompts) > 18
    settings = parse(PreferenceSettings, {"datasets": [str(output / "train")], "pairs": 2}, "data")
    loader = PreferenceLoader(settings, read_settings(tiny_model).vocabulary, 0, 1)
    assert loader.coded_by == read_settings(tiny_model).codes
    assert call(*arguments) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert call(*arguments, "--seed=3") == 2
    assert "made with --seed=0, now 3" in capsys.readouterr().err
    (output / "rated.json").unlink()
    assert call(*arguments) == 2
    assert "not from ugf rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x"], "'x': no arguments are wanted"),
        (["--prompts=shapes:train"], "want a number of them, such as shapes:train:300"),
        (["--prompts=nowhere"], "--prompts is 'nowhere'"),
        (["--model=nowhere"], "nowhere"),
        (["--samples=1"], "samples"),
        (["--error_rate=2"], "error_rate"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, tmp_path, capsys):
    assert call(*arguments, f"--output={tmp_path / 'out'}") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()
