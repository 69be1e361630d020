"""Where the compiler for TPU is not installed, which is not part of the default installation."""

import importlib
import importlib.metadata
import importlib.util
import pathlib

import pytest

from ugf_jax.cli import app, plan

SMALL = pathlib.Path(__file__).parent.parent / "planning" / "small_config.py"


@pytest.fixture
def ugf_plan(monkeypatch, tmp_path, capsys):
    find, version = importlib.util.find_spec, importlib.metadata.version

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "libtpu" else find(name))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: missing(name) if name == "libtpu" else version(name))

    def call(*argv):
        own = importlib.reload(plan)  # flags keep the config of the last call; a program parses them once
        code = app.call("plan", own.__doc__, own.FLAGS, own.main, [f"--config={SMALL}", f"--cache={tmp_path / 'cache'}", *argv])
        return code, *capsys.readouterr()

    return call


def test_a_plan_for_tpu_says_what_to_install(ugf_plan):
    code, _, err = ugf_plan("--topology=v5e:4x4")
    assert (code, err) == (2, 'ugf plan: --topology: compiling for TPU needs libtpu; want pip install "ugf-jax[plan]"\n')


def test_a_plan_for_gpus_needs_no_compiler(ugf_plan):
    code, out, _ = ugf_plan("--topology=h100:2x8")
    assert code == 0
    assert "utilisation (MFU)" in out


def test_a_config_that_is_not_there_is_one_line(ugf_plan):
    code, _, err = ugf_plan("--topology=h100:2x8", "--from=nowhere.py")
    assert (code, err) == (2, "ugf plan: --from: nowhere.py: no such file; want a Python file with get_config()\n")
