"""The batch script runs here, with an `srun` that starts two tasks on this machine."""

import os
import re
import shlex
import signal
import subprocess
import time

import pytest

from launch import slurm

FLAGS = ("--config=experiments/demo.py", "--workdir=/scratch/run")

pytestmark = pytest.mark.usefixtures("unchecked")

# The highest code of all tasks, as srun reports it; each task sees its number.
SRUN = """
while [ "${1#--}" != "$1" ]; do echo "$1" >> "$NOTES"; shift; done
SLURM_PROCID=0 "$@" & first=$!
SLURM_PROCID=1 "$@" & second=$!
wait $first; a=$?; wait $second; b=$?
exit $((a > b ? a : b))
"""


@pytest.fixture
def render(call, capsys, tmp_path):
    def run(*argv):
        assert call(slurm, *FLAGS, f"--directory={tmp_path}", "--dry-run", *argv) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def batch(program, tmp_path):
    """Runs a batch script whose training is a shell script; its exit code and whether it was queued again."""
    program("srun", SRUN)
    program("scontrol", 'echo "$@" >> "$NOTES"')

    def run(script, training, **variables):
        program("trainer", training)
        notes = tmp_path / "notes"
        notes.write_text("")
        environment = os.environ | {"NOTES": str(notes), "SLURM_JOB_ID": "17"} | variables
        done = subprocess.run(["bash"], input=script, text=True, env=environment, capture_output=True, check=False)
        return done.returncode, "requeue 17" in notes.read_text().splitlines()

    return run


@pytest.mark.parametrize(
    ("codes", "restarted", "outcome"),
    [
        ((0, 0), 0, (0, False)),
        ((2, 2), 0, (2, False)),
        ((134, 2), 0, (2, False)),  # the other waits for it and is aborted
        ((75, 75), 0, (75, True)),
        ((75, 75), 99, (75, True)),
        ((1, 75), 0, (75, True)),
        ((1, 134), 2, (134, True)),
        ((1, 134), 3, (134, False)),
        ((137, 75), 3, (137, False)),
    ],
)
def test_exit_codes_decide_what_comes_next(codes, restarted, outcome, render, batch):
    script = render("--python=trainer", "--max_restarts=3")
    training = f"[ $SLURM_PROCID = 0 ] && exit {codes[0]}; exit {codes[1]}"
    assert batch(script, training, SLURM_RESTART_COUNT=str(restarted)) == outcome


def test_a_task_that_is_asked_to_stop_saves_before_its_shell_ends(render, batch, tmp_path):
    """Slurm signals the shell of a task and the training in it: the shell must wait for it, and pass on its code."""
    script = render("--python=trainer")
    training = f"trap 'sleep 0.2; echo saved >> {tmp_path}/saved; exit 75' TERM; kill -TERM $PPID $$; sleep 5"
    assert batch(script, training) == (75, True)
    assert (tmp_path / "saved").read_text() == "saved\n" * 2


def test_a_batch_shell_that_is_asked_to_stop_waits_for_its_tasks(render, program, tmp_path):
    program("srun", SRUN)
    program("scontrol", f"echo $@ > {tmp_path}/requeued")
    program("trainer", f"trap 'exit 75' TERM; echo $$ > {tmp_path}/pid-$SLURM_PROCID; while :; do sleep 0.02; done")
    script = tmp_path / "script"
    script.write_text(render("--python=trainer"))
    batch = subprocess.Popen(["bash", script], env=os.environ | {"NOTES": "/dev/null", "SLURM_JOB_ID": "17"})
    while len(pids := [p.read_text() for p in tmp_path.glob("pid-*")]) < 2 or not all(pids):
        time.sleep(0.02)
    batch.terminate()
    time.sleep(0.1)
    assert batch.poll() is None
    for pid in pids:
        os.kill(int(pid), signal.SIGTERM)
    assert batch.wait(timeout=30) == 75
    assert (tmp_path / "requeued").read_text() == "requeue 17\n"


def test_training_gets_exactly_its_arguments(render, batch, tmp_path):
    override = "--config.seed=$(id) 'x' \"y\""
    script = render("--python=trainer", override)
    assert batch(script, f'[ $SLURM_PROCID = 1 ] || printf "%s\\n" "$@" > {tmp_path}/argv') == (0, False)
    argv = (tmp_path / "argv").read_text().splitlines()
    assert argv == ["-m", "ugf_jax.cli.train", *FLAGS, override, "--distributed"]


def test_a_variable_that_is_missing_is_said_before_anything_starts(render, batch, tmp_path):
    script = render("--python=trainer", "--pass_env=HF_TOKEN", "--pass_env=OTHER")
    assert "#SBATCH --export=HOME,LANG,PATH,USER,HF_TOKEN,OTHER\n" in script
    assert batch(script, f"touch {tmp_path}/started", OTHER="") == (2, False)
    assert not (tmp_path / "started").exists()
    assert batch(script, f"touch {tmp_path}/started", OTHER="", HF_TOKEN="x") == (0, False)


def test_directives(render):
    script = render("--nodes=4", "--gpus=8", "--grace=90", "--partition=big", "--account=ours", "--time=2-00:00:00")
    directives = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE))
    wanted = {"nodes": "4", "ntasks-per-node": "8", "gpus-per-node": "8", "signal": "TERM@90", "time": "2-00:00:00"}
    wanted |= {"partition": "big", "account": "ours", "job-name": "demo", "requeue": "", "open-mode": "append"}
    assert wanted.items() <= directives.items()
    assert "--wait=90 " in script
    assert script.startswith("#!/bin/bash\n#SBATCH")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--directory="], "--directory is ''"),
        (["--directory=here"], "--directory is 'here'"),
        (["--directory=/d", "--workdir=runs/x"], "--workdir is 'runs/x'"),
        (["--directory=/d", "--time=tomorrow"], "--time is"),
        (["--directory=/d", "--partition=a b"], "--partition is"),
        (["--directory=/d", "--account=$(id)"], "--account is"),
        (["--directory=/d", "--pass_env=A=b"], "--pass_env is"),
        (["--directory=/d", "--nodes=0"], "nodes"),
    ],
)
def test_mistakes(argv, words, call, capsys):
    assert call(slurm, *FLAGS, "--dry-run", *argv) == 2
    assert words in capsys.readouterr().err


def test_what_is_shown_is_what_is_submitted(call, render, program, tmp_path):
    program("sbatch", f"cat > {tmp_path}/script")
    shown = render()
    assert call(slurm, *FLAGS, f"--directory={tmp_path}") == 0
    assert (tmp_path / "script").read_text() == shown
    assert shlex.split(shown.splitlines()[0], comments=True) == []
