"""Launchers called as from the command line, and programs that stand in for those of clusters."""

import os

import pytest

from launch import job as jobs


@pytest.fixture(scope="session")
def call():
    """Runs a launcher with these arguments and returns its exit code."""

    def run(launcher, *argv):
        launcher.FLAGS.unparse_flags()
        for flag in launcher.FLAGS:
            launcher.FLAGS[flag].unparse()
        with pytest.raises(SystemExit) as ended:
            jobs.run(launcher.__name__.rpartition(".")[2], launcher.__doc__, launcher.FLAGS, launcher.main, argv)
        return ended.value.code or 0

    return run


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a shell script of a given name before all other programs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name, script):
        path = folder / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    return make


@pytest.fixture
def unchecked(monkeypatch):
    """Launchers trust the config: what the check finds has tests of its own, and it brings JAX."""
    monkeypatch.setattr(jobs, "check", lambda *args, **kwargs: None)
