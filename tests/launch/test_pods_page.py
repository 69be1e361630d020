"""Every dry-run command of docs/pods.md works as written."""

import importlib
import pathlib
import re
import shlex

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "pods.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line for block in BLOCKS for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines() if "--dry-run" in line]
LAUNCHERS = {path.stem for path in (ROOT / "launch").glob("*.py") if "__main__" in path.read_text()}


def test_every_launcher_has_a_command():
    assert {shlex.split(command)[2].removeprefix("launch.") for command in COMMANDS} == LAUNCHERS
    assert all(f"`python -m launch.{name}`" in PAGE for name in LAUNCHERS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.split()[2])
def test_dry_run_commands_work_as_written(command, call, capsys):
    python, module, launcher, *argv = shlex.split(command)
    assert (python, module) == ("python", "-m")
    if launcher == "launch.local":  # another entry: what follows -- is for training
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(launcher).run(argv)
        assert not ended.value.code
    else:
        assert call(importlib.import_module(launcher), *argv) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "ugf_jax.cli.train" in out
    assert all(word.partition("=")[0] + "=" in out for word in argv if word.startswith("--config."))
