import os
import stat

import ml_collections
import pytest
from absl import flags
from ml_collections import config_flags

from ugf_jax.cli import app
from ugf_jax.errors import InputError, RetryError

DOC = "ugf demo: does a thing.\n\n  ugf demo --count=3"


def make_flags():
    values = flags.FlagValues()
    flags.DEFINE_integer("count", 1, "How many.", flag_values=values)
    flags.DEFINE_string("workdir", None, "Where.", flag_values=values)
    config = ml_collections.ConfigDict({"rate": 0.1, "name": "a"})
    config_flags.DEFINE_config_dict("config", config, flag_values=values)
    return values


def test_flags_and_positional_arguments_reach_the_verb():
    seen = {}
    code = app.call("demo", DOC, make_flags(), lambda p, v: seen.update(p=p, n=v.count, rate=v.config.rate), ["a", "--count=3"])
    assert (code, seen) == (0, {"p": ["a"], "n": 3, "rate": 0.1})


def test_help_teaches_and_lists_the_flags(capsys):
    assert app.call("demo", DOC, make_flags(), lambda p, v: None, ["--help"]) == 0
    out = capsys.readouterr().out
    assert "does a thing" in out
    assert "--count: How many. (default: '1')" in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--cuont=3"], "cuont"),
        (["--count=many"], "count"),
        (["--config.rat=0.1"], "rat"),
        (["--config.rate=fast"], "rate"),
    ],
)
def test_a_bad_command_line_is_one_line_and_code_2(argv, words, capsys):
    assert app.call("demo", DOC, make_flags(), lambda p, v: None, argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(("error", "code"), [(InputError("no such file"), 2), (RetryError("again"), 75)])
def test_errors_become_exit_codes(error, code, capsys):
    def fail(positional, values):
        raise error

    assert app.call("demo", DOC, make_flags(), fail, []) == code
    assert capsys.readouterr().err == f"ugf demo: {error}\n"


def test_programming_errors_are_not_hidden():
    def fail(positional, values):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        app.call("demo", DOC, make_flags(), fail, [])


def test_output_folder_is_made(tmp_path):
    folder = app.output_folder(tmp_path / "a" / "b", "--workdir")
    assert os.fspath(folder) == str(tmp_path / "a" / "b")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("there", [False, True], ids=["new", "there before"])
@pytest.mark.parametrize("written", [False, True], ids=["empty", "written to"])
def test_a_verb_that_refuses_leaves_no_empty_folder_behind(tmp_path, capsys, there, written):
    folder = tmp_path / "out"
    if there:
        folder.mkdir()

    def refuse(*_):
        made = app.output_folder(folder, "--output")
        if written:
            (made / "found").write_text("")
        raise InputError("no")

    assert app.call("demo", DOC, make_flags(), refuse, []) == 2
    assert folder.exists() == (there or written)


def test_output_folder_refuses_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--workdir .*file: cannot write there"):
        app.output_folder(tmp_path / "file", "--workdir")


def test_output_folder_refuses_what_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("etils.epath.gpath.PosixGPath.write_text", refuse)  # root may write anywhere
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
    with pytest.raises(InputError, match="Permission denied"):
        app.output_folder(tmp_path, "--workdir")


def test_a_missing_key_is_told_with_its_whole_path():
    argv = ["--workdir=w", "--config.optimizer.lr=1", "--config.steps=3"]
    assert app.unknown_key(KeyError("'lr'"), argv) == "config.optimizer.lr: the config has no such key"
    hinted = KeyError('\'lr\'\nDid you mean "rate" instead of "lr"?')
    assert app.unknown_key(hinted, argv) == "config.optimizer.lr: the config has no such key; did you mean rate?"
    assert app.unknown_key(KeyError("a whole sentence about lr"), argv) == "a whole sentence about lr"
    assert app.unknown_key(KeyError("other"), argv) == "other"
