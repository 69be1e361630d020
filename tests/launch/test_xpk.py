import shlex

import pytest

from launch import xpk

FLAGS = ("--config=experiments/demo.py", "--workdir=gs://ours/runs/1", "--image=ours/ugf:1", "--topology=v5p:8x8x8")
PLACE = ("--cluster=pod", "--project=ours", "--zone=us-east5-a")

pytestmark = pytest.mark.usefixtures("unchecked")


def codes(text):
    """The exit codes that xpk reads from `--restart-on-exit-codes`, with those that it adds."""
    ranges = [(int(a), int(b or a)) for a, _, b in (part.partition("-") for part in text.split(","))]
    return {n for a, b in ranges for n in range(a, b + 1)} | {42} | set(range(127, 256))


def test_the_command_says_it_all(call, capsys):
    more = ("--slices=4", "--spot", "--env=A=b c", "--grace=90", "--max_restarts=7", "--config.seed=$(id) 'x'")
    assert call(xpk, *FLAGS, *PLACE, "--dry-run", *more) == 0
    comment, line = capsys.readouterr().out.splitlines()
    assert comment.startswith("# grace period: ")
    words = shlex.split(line)
    assert words[:3] == ["xpk", "workload", "create"]
    given = dict(word.removeprefix("--").partition("=")[::2] for word in words[3:])
    assert codes(given.pop("restart-on-exit-codes")) == set(range(256)) - {0, 2}
    train = ["python", "-m", "ugf_jax.cli.train", "--config=experiments/demo.py", "--workdir=gs://ours/runs/1"]
    assert shlex.split(given.pop("command")) == [*train, "--config.seed=$(id) 'x'", "--distributed"]
    assert given == {
        **{"cluster": "pod", "project": "ours", "zone": "us-east5-a", "workload": "demo", "tpu-type": "v5p-8x8x8"},
        **{"num-slices": "4", "spot": "", "docker-image": "ours/ugf:1", "env": "A=b c", "max-restarts": "7"},
        "termination-grace-period-seconds": "90",
    }


def test_what_is_shown_is_what_runs(call, capsys, program, tmp_path):
    program("xpk", f'printf "%s\\n" xpk "$@" > {tmp_path}/argv')
    assert call(xpk, *FLAGS, *PLACE, "--dry-run") == 0
    shown = capsys.readouterr().out.splitlines()[-1]
    assert call(xpk, *FLAGS, *PLACE) == 0
    assert (tmp_path / "argv").read_text().splitlines() == shlex.split(shown)


@pytest.mark.parametrize("missing", PLACE)
def test_where_to_is_needed(missing, call, capsys):
    assert call(xpk, *FLAGS, *(p for p in PLACE if p != missing), "--dry-run") == 2
    assert f"{missing.partition('=')[0]} is missing" in capsys.readouterr().err


def test_names_that_xpk_has_no_room_for(call, capsys):
    assert call(xpk, *FLAGS, *PLACE, "--name=" + "a" * 29, "--dry-run") == 2
    assert "at most 28 characters" in capsys.readouterr().err
