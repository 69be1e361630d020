"""`ugf train` as its user types it: what is wrong is told in one line before anything is computed."""

import pathlib

import pytest

from ugf_jax.cli import app, train

ROOT = pathlib.Path(__file__).parent.parent.parent
DEMO = f"--config={ROOT / 'experiments/demo.py'}"
SMALL = f"--config={ROOT / 'experiments/small_unified.py'}"


def call(*argv, capsys):
    code = app.call("train", train.__doc__, fresh_flags(), train.main, argv)
    return code, capsys.readouterr().err


def fresh_flags():
    # Flags keep the config of the last call; a program parses them once.
    import importlib

    return importlib.reload(train).FLAGS


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--workdirr=x"], "workdirr"),
        (["--config=nowhere.py", "--workdir={tmp}"], "--config: nowhere.py: no such file; want a Python file"),
        ([f"{SMALL}:none", "--workdir={tmp}"], "parsing config file: ValueError: small_unified.py:none: no such phase"),
        ([DEMO], "--workdir=FOLDER"),
        (["--workdir={tmp}"], "--config=FILE"),
        ([DEMO, "--workdir={tmp}", "extra"], "unexpected argument 'extra'"),
        ([DEMO, "--workdir={tmp}", "--config.optimizer.lr=1"], "lr"),
        ([DEMO, "--workdir={tmp}", "--config.optimizer.learning_rate=nan"], "config.optimizer.learning_rate is nan"),
        ([DEMO, "--workdir={tmp}", "--config.optimizer.learning_rate=-1.0"], "config.optimizer.learning_rate is -1.0"),
        ([DEMO, "--workdir={tmp}", "--config.steps=many"], "steps"),
        ([DEMO, "--workdir={tmp}", "--config.stage=tokeniser"], "config.stage is 'tokeniser'; want one of tokenizer"),
        ([DEMO, "--workdir={tmp}", "--config.model.master.width=33"], "config.model.master.width is 33"),
        ([DEMO, "--workdir={tmp}", "--config.data.datasets=('/nowhere',)"], "config.data.datasets[0]: /nowhere"),
        ([DEMO, "--workdir={tmp}/file", "--config.data.datasets=('/nowhere',)"], "file: cannot write there"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(argv, words, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, err = call(*[a.replace("{tmp}", str(tmp_path)) for a in argv], capsys=capsys)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert err.startswith("ugf train: ")


def test_help_teaches(capsys):
    assert app.call("train", train.__doc__, fresh_flags(), train.main, ["--help"]) == 0
    assert "config.init_from" in capsys.readouterr().out
