"""Launchers called as from the command line, and programs that stand in for those of clusters."""

import os
import subprocess
import sys
import time

import pytest

from launch import job as jobs
from launch import local
from ugf_jax.json_files import JsonLines


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


class DemoRun:
    """The tokenizers of `make demo`, trained by several processes that say who they are, so that they can be disturbed."""

    PROGRAM = """
import os, pathlib, sys
from ugf_jax.cli import train
number = next(a.partition("=")[2] for a in sys.argv if a.startswith("--process_id="))
pathlib.Path(__file__).with_name(f"pid-{number}").write_text(str(os.getpid()))
train.run()
"""

    def __init__(self, folder):
        self.folder = folder
        for source, name in (("clipart", "clipart"), ("shapes:3000", "shapes")):
            command = [sys.executable, "-m", "ugf_jax.cli.prepare", source, str(folder / "demo" / "data" / name)]
            subprocess.run(command, check=True, capture_output=True)
        (folder / "program.py").write_text(self.PROGRAM)

    def __call__(self, workdir, flags, processes=2, devices=4):
        """Exit code of all processes as one."""

        def command(processes, process, port):
            several = [f"--config=experiments/demo.py:{self.folder / 'demo'}", f"--workdir={workdir}", *flags]
            program, *rest = local.train_command(processes, process, port, several)
            return [program, str(self.folder / "program.py"), *rest[2:]]

        return local.launch(processes, devices, command, grace=60)

    def process_id(self, number, workdir, step):
        """Of a process of the run that was started last, as soon as a step is in its log."""
        while max((line["step"] for line in JsonLines(workdir / "metrics.jsonl").read()), default=0) < step:
            time.sleep(0.05)
        return int((self.folder / f"pid-{number}").read_text())


@pytest.fixture
def demo_run(tmp_path):
    return DemoRun(tmp_path)
