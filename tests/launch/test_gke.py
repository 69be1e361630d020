"""Manifests are what Kubernetes and JobSet accept, and say what the exit codes mean."""

import copy
import json
import pathlib
import re

import jsonschema
import kubernetes_validate
import pytest
import yaml

from launch import gke
from launch.topology import parse

SCHEMA = json.loads((pathlib.Path(__file__).parent / "schemas" / "jobset.json").read_text())
FLAGS = ("--config=experiments/demo.py", "--workdir=gs://ours/runs/1", "--image=ours/ugf:1")
EVERYTHING = (
    *("--name=big-run", "--namespace=research", "--queue=batch", "--service_account=trainer", "--spot", "--grace=240"),
    *("--env=XLA_FLAGS=--a=b c", "--secret=HF_TOKEN=hub/token", "--secret=OTHER=a.b/c_d", "--max_restarts=3"),
    *("--node_label=cloud.google.com/reservation-name=ours", "--config.steps=7", "--config.seed=$(id)"),
)

pytestmark = pytest.mark.usefixtures("unchecked")


def validate(manifest):
    """Raises where the API server would refuse."""
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(manifest)
    for replicated in manifest["spec"]["replicatedJobs"]:
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": replicated["template"]["spec"]}
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


@pytest.fixture
def render(call, capsys):
    def run(*argv):
        assert call(gke, *FLAGS, "--dry-run", *argv) == 0
        return yaml.safe_load(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("topology", ["v4:4x4x8", "v5e:1x1", "v5e:16x16", "v5p:8x8x8", "v6e:2x4", "tpu7x:4x4x4"])
@pytest.mark.parametrize("slices", [1, 4])
def test_manifests_are_valid_for_every_kind_of_slice(topology, slices, render):
    made = render(f"--topology={topology}", f"--slices={slices}")
    validate(made)
    (replicated,) = made["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    piece = parse(topology)
    assert replicated["replicas"] == slices
    assert job["completions"] == job["parallelism"] == piece.hosts
    assert container["resources"]["limits"] == container["resources"]["requests"] == {"google.com/tpu": piece.chips_per_host}
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == piece.topology
    assert pod.get("hostNetwork", False) is (slices > 1)


def test_every_flag_finds_its_place(render):
    made = render("--topology=v5e:4x4", *EVERYTHING)
    validate(made)
    job = made["spec"]["replicatedJobs"][0]["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert made["metadata"]["name"] == "big-run"
    assert made["metadata"]["namespace"] == "research"
    assert made["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "batch"}
    assert made["spec"]["failurePolicy"]["maxRestarts"] == 3
    assert pod["serviceAccountName"] == "trainer"
    assert pod["terminationGracePeriodSeconds"] == 240
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert pod["nodeSelector"]["cloud.google.com/reservation-name"] == "ours"
    variables = {v["name"]: v.get("value", v.get("valueFrom")) for v in container["env"]}
    assert variables == {
        "XLA_FLAGS": "--a=b c",
        "HF_TOKEN": {"secretKeyRef": {"name": "hub", "key": "token"}},
        "OTHER": {"secretKeyRef": {"name": "a.b", "key": "c_d"}},
    }
    train = ["python", "-m", "ugf_jax.cli.train", "--config=experiments/demo.py", "--workdir=gs://ours/runs/1"]
    # Kubernetes puts a variable's value in place of $(NAME); $$ keeps it from that.
    assert container["args"] == [*train, "--config.steps=7", "--config.seed=$$(id)", "--distributed"]


def test_the_validators_see_mistakes(render):
    good = render("--topology=v5e:4x4")
    validate(good)

    def broken(change):
        made = copy.deepcopy(good)
        change(made, made["spec"]["replicatedJobs"][0]["template"]["spec"])
        return made

    changes = [
        lambda m, j: m.update(kind="Job"),
        lambda m, j: m["metadata"].update(name="Big"),
        lambda m, j: m["spec"].update(network={}),  # a field that the excerpt does not know
        lambda m, j: m["spec"]["failurePolicy"].update(maxRestarts="3"),
        lambda m, j: m["spec"]["failurePolicy"]["rules"][0].update(name="2 wrong"),
        lambda m, j: m["spec"]["failurePolicy"]["rules"][0].update(action="Fail"),
        lambda m, j: j.update(completion="1"),
        lambda m, j: j.update(backoffLimit="none"),
        lambda m, j: j["template"]["spec"].update(restart="Never"),
        lambda m, j: j["template"]["spec"]["containers"][0].pop("name"),
        lambda m, j: j["podFailurePolicy"]["rules"][0].pop("action"),
    ]
    for change in changes:
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            validate(broken(change))


def outcome(manifest, code=None, taken=False):
    """What Kubernetes' job controller and JobSet do with a pod's end, after their references."""
    spec = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # a pod failure policy asks for it
    for index, rule in enumerate(spec["podFailurePolicy"]["rules"]):
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions", [])
        if codes and code in codes["values"] and codes["operator"] == "In":
            what = f"Container {codes['containerName']} for pod ns/name failed with exit code {code}"
        elif taken and any(c["type"] == "DisruptionTarget" for c in conditions):
            what = "Pod ns/name has condition DisruptionTarget"
        else:
            continue
        assert rule["action"] == "FailJob"
        reason, message = "PodFailurePolicy", f"{what} matching FailJob rule at index {index}"
        break
    for rule in manifest["spec"]["failurePolicy"]["rules"]:
        patterns = rule.get("onJobFailureMessagePatterns", [""])
        if reason in rule["onJobFailureReasons"] and any(re.search(p, message) for p in patterns):
            return rule["action"]
    return "RestartJobSet"


def test_exit_codes_mean_the_same_as_everywhere(render):
    made = render("--topology=v5e:4x4")
    assert outcome(made, code=2) == "FailJobSet"
    assert outcome(made, code=75) == "RestartJobSetAndIgnoreMaxRestarts"
    assert outcome(made, taken=True) == outcome(made, code=137, taken=True) == "RestartJobSetAndIgnoreMaxRestarts"
    for crash in (1, 3, 20, 22, 42, 134, 137, 139, 200):
        assert outcome(made, code=crash) == "RestartJobSet"
    assert made["spec"]["failurePolicy"]["restartStrategy"] == "BlockingRecreate"  # never two runs in one workdir


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--topology=v5p:8x8x8", "--slices=11", "--name=" + "a" * 51], "--name"),  # -slice-10-127 must fit in 63 characters
        (["--topology=v5e:4x4", "--namespace=Ours"], "--namespace"),
        (["--topology=v5e:4x4", "--queue=a b"], "--queue"),
        (["--topology=v5e:4x4", "--secret=HF_TOKEN=hunter2"], "--secret is 'HF_TOKEN=…'; want NAME=SECRET/KEY"),
        (["--topology=v5e:4x4", "--secret=HF_TOKEN=a/b c"], "--secret"),
        (["--topology=v5e:4x4", "--node_label=a"], "--node_label"),
        (["--topology=v5e:4x4", "--service_account=A"], "--service_account"),
    ],
)
def test_what_the_cluster_would_refuse(argv, words, call, capsys):
    assert call(gke, *FLAGS, "--dry-run", *argv) == 2
    assert words in capsys.readouterr().err


def test_the_longest_name_that_fits(render):
    made = render("--topology=v5p:8x8x8", "--slices=11", "--name=" + "a" * 50)
    longest = f"{made['metadata']['name']}-slice-10-127"
    assert len(longest) == 63


def test_what_is_shown_is_what_is_created(call, capsys, program, tmp_path):
    program("kubectl", f'printf "%s\\n" "$@" > {tmp_path}/argv; cat > {tmp_path}/manifest')
    assert call(gke, *FLAGS, "--topology=v5e:4x4", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert not (tmp_path / "argv").exists()
    assert call(gke, *FLAGS, "--topology=v5e:4x4") == 0
    sent = (tmp_path / "manifest").read_text()
    assert shown.endswith(sent)
    assert f"# {' '.join(['kubectl', *(tmp_path / 'argv').read_text().split()])} " in shown
    program("kubectl", "exit 1")
    assert call(gke, *FLAGS, "--topology=v5e:4x4") == 1
