"""Commands over ssh run here, with an `ssh` that gives them to a shell on this machine as sshd would."""

import os
import shlex
import signal
import threading
import time

import pytest

from launch import job as jobs
from launch import ssh
from launch.policy import Restarts

FLAGS = ("--config=experiments/demo.py", "--workdir=/data/run")

pytestmark = pytest.mark.usefixtures("unchecked")

SSH = """
while [ "$1" != -- ]; do shift; done
SSH_HOST=$2; export SSH_HOST; shift 2
exec sh -c "$*"
"""


@pytest.fixture
def ready(call, capsys, program, tmp_path):
    """The commands for two hosts, which run `trainer` in a folder here."""
    program("ssh", SSH)
    folder = tmp_path / "the 'repository'"
    folder.mkdir()

    def make(training, *argv):
        program("trainer", training)
        assert call(ssh, *FLAGS, "--hosts=a,me@b", f"--directory={folder}", "--python=trainer", "--dry-run", *argv) == 0
        comment, *lines = capsys.readouterr().out.splitlines()
        assert comment.startswith("# grace period: ")
        return [shlex.split(line) for line in lines]

    return make


def test_every_host_gets_its_command(ready, tmp_path):
    override = "--config.seed=$(id) 'x' \"y\""
    commands = ready(f'printf "%s\\n" "$PWD" "$A" "$@" > {tmp_path}/$SSH_HOST', "--env=A=b c", "--pass_env=HF_TOKEN", override)
    assert [c[c.index("--") + 1] for c in commands] == ["a", "me@b"]
    assert all("SendEnv=HF_TOKEN" in c and "BatchMode=yes" in c for c in commands)
    assert ssh.launch(commands, 5, Restarts(0)) == 0
    for number, host in enumerate(("a", "me@b")):
        folder, variable, *argv = (tmp_path / host).read_text().splitlines()
        assert folder.endswith("the 'repository'")
        assert variable == "b c"
        several = ["--coordinator=a:8476", "--num_processes=2", f"--process_id={number}"]
        assert argv == ["-m", "ugf_jax.cli.train", *FLAGS, override, *several]


@pytest.mark.parametrize(("code", "runs"), [(0, 1), (2, 1), (75, 2), (1, 2), (255, 2)])
def test_exit_codes_come_back_and_decide(code, runs, ready, tmp_path):
    training = f"[ -e {tmp_path}/again ] && exit 0; [ $SSH_HOST = a ] || exit 0; touch {tmp_path}/again; exit {code}"
    commands = ready(f"echo >> {tmp_path}/n-$SSH_HOST; {training}")
    assert ssh.launch(commands, 5, Restarts(1), pause=0) == (code if runs == 1 else 0)
    assert len((tmp_path / "n-a").read_text()) == runs


# What training does with SIGTERM: it saves, and ends with 75.
TRAINING = "trap 'echo saved >> {0}/saved-$SSH_HOST; exit 75' TERM; touch {0}/up-$SSH_HOST; while :; do sleep 0.02; done"


def test_a_stop_reaches_the_hosts_and_their_codes_come_back(ready, tmp_path):
    commands = ready(TRAINING.format(tmp_path))

    def send():
        while len(list(tmp_path.glob("up-*"))) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    assert ssh.launch(commands, 5, Restarts(9), pause=0) == 75
    sender.join()
    assert [(tmp_path / f"saved-{host}").read_text() for host in ("a", "me@b")] == ["saved\n"] * 2


def test_where_one_host_fails_the_other_is_asked_to_stop(ready, tmp_path):
    commands = ready(f"[ $SSH_HOST = a ] && {{ sleep 0.1; exit 2; }}; {TRAINING.format(tmp_path)}")
    assert ssh.launch(commands, 5, Restarts(9), pause=0) == 2
    assert (tmp_path / "saved-me@b").read_text() == "saved\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--hosts="], "--hosts is ''"),
        (["--hosts=a,a"], "different hosts"),
        (["--hosts=a,-oProxyCommand=x"], "--hosts is '-oProxyCommand=x'"),
        (["--hosts=a", "--directory=x"], "--directory is 'x'"),
        (["--hosts=a", "--workdir=runs/x"], "--workdir is 'runs/x'"),
        (["--hosts=a", "--port=0"], "port"),
        (["--hosts=a", "--env=HF_TOKEN=x"], "--pass_env=NAME"),
        (["--hosts=a", "--pass_env=A B"], "--pass_env is 'A B'"),
    ],
)
def test_mistakes(argv, words, call, capsys):
    assert call(ssh, *FLAGS, "--directory=/d", "--dry-run", *argv) == 2
    assert words in capsys.readouterr().err


def test_the_program_runs_what_it_showed(call, program, tmp_path, capsys):
    program("ssh", f'printf "%s\\n" ssh "$@" > {tmp_path}/argv')
    flags = (*FLAGS, "--hosts=a", "--directory=/d")
    assert call(ssh, *flags, "--dry-run") == 0
    shown = capsys.readouterr().out.splitlines()[1]
    assert call(ssh, *flags) == 0
    assert (tmp_path / "argv").read_text().splitlines() == shlex.split(shown)
    assert jobs.shown(shlex.split(shown)) == shown
