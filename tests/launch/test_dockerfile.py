"""What can be known of the image without building it."""

import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).parent.parent.parent
DOCKERFILE = re.sub(r"\\\n", "", (ROOT / "Dockerfile").read_text())
LINES = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def words(instruction):
    return [line.split()[1:] for line in LINES if line.startswith(instruction + " ")]


def test_what_is_copied_is_there_and_is_let_through():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for *sources, _ in words("COPY") for source in sources}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_its_python_is_one_of_ours():
    ((image,),) = words("FROM")
    version = re.fullmatch(r"python:3\.(\d+)-slim", image)
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert int(low) <= int(version[1]) < int(high)


def test_accelerators_are_extras_of_jax():
    extras = importlib.metadata.metadata("jax").get_all("Provides-Extra")
    named = re.search(r"ACCELERATOR is an extra of jax: (.*), or cpu", DOCKERFILE)[1].split(", ")
    assert set(named) <= set(extras)
    assert words("ARG") == [["ACCELERATOR=tpu"]]


def test_dependencies_are_those_of_the_package():
    program = re.search(r"python -c '([^']*)'", DOCKERFILE)[1]
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == PROJECT["dependencies"]


def test_signals_reach_training():
    (entry,) = (line for line in LINES if line.startswith("ENTRYPOINT"))
    assert json.loads(entry.removeprefix("ENTRYPOINT ")) == ["tini", "-g", "--"]
