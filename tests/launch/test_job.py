import pytest

from launch import job as jobs
from launch import slurm, xpk
from ugf_jax.errors import InputError

GOOD = ("--config=experiments/demo.py", "--workdir=/w", "--directory=/d", "--dry-run")


def overrides(*more):
    return jobs.Job("a", "experiments/demo.py", "w", more, 60, "", 1, True)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--workdir=/w"], "--config is missing"),
        (["--config=experiments/demo.py"], "--workdir is missing"),
        (["--config=experiments/nowhere.py", "--workdir=/w"], "no file experiments/nowhere.py here"),
        (["--config=../x.py", "--workdir=/w"], "within the repository"),
        (["--config=/x.py", "--workdir=/w"], "within the repository"),
        ([*GOOD, "--name=Ours"], "--name is 'Ours'"),
        ([*GOOD, "--grace=9", "--grace_from=runs/x"], "both set"),
        ([*GOOD, "--grace_from=nowhere"], "tells of no save"),
        ([*GOOD, "--config.steps", "7"], "--config.steps: write --config.steps=VALUE"),
        ([*GOOD, "--config.steps=7\nrm"], "one line of printable characters"),
        ([*GOOD, "--grace=soon"], "grace"),
        ([*GOOD, "--topology=v5p:8x8x8"], "topology"),
        ([*GOOD, "extra"], "unexpected argument 'extra'"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(argv, words, call, capsys, unchecked):
    assert call(slurm, *argv) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert err.count("\n") == 1
    assert out == ""


def test_overrides_reach_training_as_they_are(call, capsys, unchecked):
    more = ("--config.data.datasets=('a b', \"c'd\")", "--config.steps=7")
    assert call(slurm, *GOOD, *more) == 0
    assert jobs.shown(more) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "slices", "remote", "words"),
    [
        (["--config.no.such=1"], 1, False, "config.no"),
        (["--config.steps=-1"], 1, False, "config.steps is -1"),
        (["--config.mesh.data=3", "--config.mesh.fsdp=1"], 1, False, "config.mesh: data 3 x fsdp 1 x tensor 1 needs 3 devices"),
        (["--config.mesh.data=-1", "--config.mesh.fsdp=3"], 1, False, "config.mesh: .* there are 8"),
        (["--config.mesh.data=2", "--config.mesh.fsdp=4"], 4, False, "config.mesh.data is 2; want a multiple of the 4 slices"),
        ([], 1, True, "config.data.datasets: '.*' is not in the image; want a path such as gs://BUCKET/"),
    ],
)
def test_a_config_that_training_would_refuse_is_refused_first(more, slices, remote, words):
    with pytest.raises(InputError, match=words):
        jobs.check(overrides(*more), 8, slices, remote)


def test_a_config_that_fits_passes():
    jobs.check(overrides("--config.mesh.data=-1", "--config.mesh.fsdp=4"), 8, slices=2)
    bucket = ["--config.data.datasets=('gs://ours/a',)", "--config.evaluation.dataset=/mounted/b"]
    jobs.check(overrides("--config.mesh.data=2", "--config.mesh.fsdp=4", *bucket), 8, remote=True)


TPU = ("--config=experiments/demo.py", "--topology=v5e:4x4", "--image=ours/ugf:1", "--workdir=gs://ours/run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--topology="], "--topology is missing"),
        (["--topology=v5e:4x5"], "--topology is 'v5e:4x5'"),
        (["--image="], "--image is missing"),
        (["--image=not an image"], "--image is 'not an image'"),
        (["--workdir=runs/x"], "--workdir is 'runs/x', which ends with its container"),
        (["--slices=0"], "slices"),
        (["--env=HF_TOKEN=x"], "looks like a secret"),
    ],
)
def test_what_every_tpu_launcher_refuses(change, words, call, capsys, unchecked):
    assert call(xpk, *TPU, "--cluster=c", "--project=p", "--zone=z", "--dry-run", *change) == 2
    assert words in capsys.readouterr().err


def test_a_program_that_is_missing_or_fails(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="no-such-program is not installed here"):
        jobs.send(["no-such-program"])
    with pytest.raises(SystemExit) as ended:
        jobs.send(["sh", "-c", "cat > /dev/null; exit 7"], "text")
    assert ended.value.code == 7
    jobs.send(["sh", "-c", f"cat > {tmp_path}/got"], "a\nb\n")
    assert (tmp_path / "got").read_text() == "a\nb\n"
