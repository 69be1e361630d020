"""The queued resource and what its hosts do: their script runs here with programs that only note how they were called."""

import re
import shlex
import subprocess

import pytest

from launch import tpu_vm

FLAGS = ("--config=experiments/demo.py", "--workdir=gs://ours/runs/1", "--image=europe-docker.pkg.dev/ours/ugf:1")
PLACE = ("--project=ours", "--zone=us-east5-a")

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def render(call, capsys):
    """The command and the script."""

    def run(*argv):
        assert call(tpu_vm, *FLAGS, *PLACE, "--dry-run", *argv) == 0
        first, rest = capsys.readouterr().out.split("\n", 1)
        command, heredoc = first.split(" <<")
        assert heredoc == "'SCRIPT'"
        assert rest.endswith("\nSCRIPT\n")
        return shlex.split(command), rest.removesuffix("SCRIPT\n")

    return run


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["--topology=v5e:16x16"], ["--accelerator-type=v5litepod-256", "--runtime-version=v2-alpha-tpuv5-lite"]),
        (["--topology=v6e:4x4", "--spot"], ["--accelerator-type=v6e-16", "--runtime-version=v2-alpha-tpuv6e", "--spot"]),
        (["--topology=v5p:4x4x8"], ["--type=v5p", "--topology=4x4x8", "--runtime-version=v2-alpha-tpuv5"]),
        (["--topology=v4:8x4x4", "--slices=2"], ["--type=v4", "--topology=8x4x4", "--node-count=2", "--node-prefix=demo"]),
        (["--topology=v4:2x2x1", "--valid_until_duration=6h"], ["--node-id=demo", "--valid-until-duration=6h"]),
        (["--topology=v4:2x2x1", "--service_account=a@b.c"], ["--service-account=a@b.c", "--zone=us-east5-a"]),
    ],
)
def test_the_command_asks_for_the_slice(argv, wanted, render):
    command, _ = render(*argv)
    assert command[:6] == ["gcloud", "compute", "tpus", "queued-resources", "create", "demo"]
    assert set(wanted) <= set(command)
    assert ("--spot" in command) is ("--spot" in argv)
    assert sum(word.startswith(("--node-id", "--node-count")) for word in command) == 1


@pytest.fixture
def host(program, tmp_path):
    """Runs a script as a host would, with /run in a folder here; what it wrote, and the calls that it made."""
    for name in ("systemctl", "docker", "gcloud"):
        value = 'case "$*" in *secrets*) echo "value of $*";; esac' if name == "gcloud" else ""
        active = '[ "$1" != is-active ]' if name == "systemctl" else ""
        program(name, f'printf "%s " {name} "$@" >> {tmp_path}/calls; echo >> {tmp_path}/calls; {value}{active}')
    run = tmp_path / "run"
    (run / "systemd" / "system").mkdir(parents=True)

    def start(script):
        subprocess.run(["bash"], input=script.replace("/run/", f"{run}/"), text=True, check=True)
        return run, (tmp_path / "calls").read_text().splitlines()

    return start


def test_a_host_keeps_the_container_running(render, host):
    _, script = render("--topology=v6e:4x4", "--grace=90", "--max_restarts=4", "--config.seed=$(id) 'x'", "--env=A=$HOME 'b'")
    run, calls = host(script)
    unit = (run / "systemd" / "system" / "demo.service").read_text()
    for line in (
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "TimeoutStopSec=90",
        "StartLimitBurst=5",
        "KillMode=mixed",
    ):
        assert f"\n{line}\n" in unit
    (container,) = (run / "demo.sh").read_text().splitlines()
    words = shlex.split(container)
    assert words[:3] == ["exec", "docker", "run"]
    image = words.index("europe-docker.pkg.dev/ours/ugf:1")
    assert {"--privileged", "--network=host", "--stop-timeout=90", f"--env-file={run}/demo.env"} <= set(words[:image])
    train = ["python", "-m", "ugf_jax.cli.train", "--config=experiments/demo.py", "--workdir=gs://ours/runs/1"]
    assert words[image + 1 :] == [*train, "--config.seed=$(id) 'x'", "--distributed"]
    assert (run / "demo.env").read_text() == "A=$HOME 'b'\n"
    assert calls[0].startswith("systemctl is-active")
    assert calls[-1].startswith("systemctl start --no-block demo")
    assert any(call.startswith("gcloud auth configure-docker europe-docker.pkg.dev") for call in calls)


def test_secrets_are_read_on_the_host(render, host):
    command, script = render("--topology=v6e:4x4", "--secret=HF_TOKEN=hub-token")
    assert "value of" not in script + " ".join(command)
    run, _ = host(script)
    value = (run / "demo.env").read_text()
    assert re.fullmatch(r"HF_TOKEN=value of secrets versions access latest --project=ours --secret=hub-token\n", value)
    assert (run / "demo.env").stat().st_mode & 0o077 == 0


def test_a_secret_that_cannot_be_read_stops_the_host(render, host, program):
    _, script = render("--topology=v6e:4x4", "--secret=HF_TOKEN=hub-token")
    program("gcloud", "exit 1")
    with pytest.raises(subprocess.CalledProcessError):
        host(script)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--topology=tpu7x:4x4x4", *PLACE], "in GKE only"),
        (["--topology=v6e:4x4", "--zone=us-east5-a"], "--project is missing"),
        (["--topology=v6e:4x4", "--project=ours"], "--zone is missing"),
        (["--topology=v6e:4x4", "--project=ours", "--zone=us east"], "--zone is"),
        (["--topology=v6e:4x4", *PLACE, "--secret=HF_TOKEN"], "--secret"),
        (["--topology=v6e:4x4", *PLACE, "--secret=HF_TOKEN=a;b"], "--secret"),
        (["--topology=v6e:4x4", *PLACE, "--service_account=a b"], "--service_account"),
        (["--topology=v6e:4x4", *PLACE, "--slices=2", "--name=" + "a" * 62], "at most 61"),
    ],
)
def test_mistakes(argv, words, call, capsys):
    assert call(tpu_vm, *FLAGS, "--dry-run", *argv) == 2
    assert words in capsys.readouterr().err


def test_what_is_shown_is_what_is_sent(call, render, program, tmp_path):
    program("gcloud", f'printf "%s\\n" gcloud "$@" > {tmp_path}/argv; cat /dev/stdin > {tmp_path}/script')
    command, script = render("--topology=v6e:4x4")
    assert call(tpu_vm, *FLAGS, *PLACE, "--topology=v6e:4x4") == 0
    assert (tmp_path / "argv").read_text().splitlines() == command
    assert (tmp_path / "script").read_text() == script
