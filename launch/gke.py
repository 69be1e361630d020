r"""gke: train on TPU slices of Google Kubernetes Engine, as a JobSet.

  python -m launch.gke --config=experiments/ugf_1b.py --workdir=gs://ours/runs/ugf_1b --topology=v5e:16x16 \
    --image=europe-docker.pkg.dev/ours/ugf/ugf:1 --config.data.datasets="('gs://ours/data/train',)" --dry-run

Prints the manifest (--dry-run) or gives it to kubectl. One job a slice, one pod a host; `--config.key=value` goes to training.

What happens when a run ends, by its exit code: 0 done; 2 wrong input, the JobSet fails at once; 75 or a node that is taken
away, all slices start again, however often; anything else, all start again, at most --max_restarts times. New pods start only
when the old ones are gone, since both would write to one workdir. Needs JobSet 0.10 or later.
"""

from typing import Any

import yaml
from absl import flags

from launch import job as jobs
from launch import names
from launch.job import Job
from launch.topology import Slice
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_RETRY, InputError

FLAGS = flags.FlagValues()
jobs.define(FLAGS)
jobs.define_tpu(FLAGS)
flags.DEFINE_string("namespace", "default", "Namespace of the cluster.", flag_values=FLAGS)
flags.DEFINE_multi_string("secret", [], "NAME=SECRET/KEY: variable NAME from a Kubernetes secret.", flag_values=FLAGS)
flags.DEFINE_string("service_account", None, "Kubernetes service account that may use the bucket.", flag_values=FLAGS)
flags.DEFINE_string("queue", None, "LocalQueue of Kueue that the job waits in.", flag_values=FLAGS)
flags.DEFINE_multi_string("node_label", [], "KEY=VALUE that nodes must have, e.g. a reservation.", flag_values=FLAGS)

POOL = "cloud.google.com/gke-nodepool"  # one node pool is one slice
SPOT = "cloud.google.com/gke-spot"
CONTAINER = "train"
SECRETS = "--secret=NAME=SECRET/KEY"


def main(job: Job, values: flags.FlagValues) -> None:
    """Prints the manifest or creates it."""
    piece, environment = jobs.tpu(job, values, SECRETS)
    made = manifest(job, piece, values, environment)
    command = ["kubectl", "create", f"--namespace={made['metadata']['namespace']}", "--filename=-"]
    text = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=128)
    if job.dry_run:
        print(f"# {jobs.shown(command)}   (with this as its input)\n# grace period: {job.grace_source}\n{text}", end="")
    else:
        jobs.send(command, text)


def manifest(job: Job, piece: Slice, values: flags.FlagValues, environment: dict[str, str]) -> dict[str, Any]:
    """The JobSet, as Kubernetes' API has it (`jobset.x-k8s.io/v1alpha2`).

    Raises:
      InputError: a name that the cluster would refuse.
    """
    longest = f"-slice-{values.slices - 1}-{piece.hosts - 1}"  # Kubernetes names pods after job and number, in 63 characters
    name = names.label(job.name, "name", 63 - len(longest), first_letter=True)
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": names.label(values.namespace, "namespace"),
        "annotations": {"alpha.jobset.sigs.k8s.io/exclusive-topology": POOL},
    }
    if values.queue:
        metadata["labels"] = {"kueue.x-k8s.io/queue-name": names.label(values.queue, "queue")}
    template = {
        "spec": {
            "parallelism": piece.hosts,
            "completions": piece.hosts,
            "completionMode": "Indexed",
            "backoffLimit": 0,  # a slice without one of its hosts is of no use
            "podFailurePolicy": {"rules": pod_rules()},
            "template": {"spec": pod(job, piece, values, environment)},
        }
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": {
                "maxRestarts": job.max_restarts,
                "restartStrategy": "BlockingRecreate",
                "rules": job_rules(),
            },
            "replicatedJobs": [{"name": "slice", "replicas": values.slices, "template": template}],
        },
    }


def pod_rules() -> list[dict[str, Any]]:
    """Ends of a pod that its job fails for by name; all others count as crashes."""
    codes = [{"containerName": CONTAINER, "operator": "In", "values": [code]} for code in (EXIT_BAD_INPUT, EXIT_RETRY)]
    taken = {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return [*({"action": "FailJob", "onExitCodes": code} for code in codes), taken]


def job_rules() -> list[dict[str, Any]]:
    """What the JobSet does when a job has failed by one of `pod_rules`; its message says by which exit code."""
    actions = {"wrong_input": "FailJobSet", "preempted": "RestartJobSetAndIgnoreMaxRestarts"}
    rules: list[dict[str, Any]] = [
        {"name": name, "action": action, "onJobFailureReasons": ["PodFailurePolicy"]} for name, action in actions.items()
    ]
    rules[0]["onJobFailureMessagePatterns"] = [f"exit code {EXIT_BAD_INPUT} matching"]
    return rules


def pod(job: Job, piece: Slice, values: flags.FlagValues, environment: dict[str, str]) -> dict[str, Any]:
    """The pod of one host. GKE tells it which host of which slice it is."""
    selector = {
        "cloud.google.com/gke-tpu-accelerator": piece.generation.node,
        "cloud.google.com/gke-tpu-topology": piece.topology,
        **dict(names.node_label(text, "node_label") for text in values.node_label),
    }
    variables: list[dict[str, Any]] = [{"name": name, "value": escaped(value)} for name, value in environment.items()]
    chips = {"google.com/tpu": piece.chips_per_host}
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": job.grace,
        "nodeSelector": selector,
        "containers": [
            {
                "name": CONTAINER,
                "image": values.image,
                "args": [escaped(word) for word in (*job.train(), "--distributed")],  # the image's entry point hands on signals
                "env": [*variables, *(secret(text) for text in values.secret)],
                "ports": [{"containerPort": 8471}, {"containerPort": 8482}],  # libtpu, JAX's coordinator
                "resources": {"requests": dict(chips), "limits": dict(chips)},
                "securityContext": {"privileged": True},  # libtpu locks memory and opens the chips' devices
            }
        ],
    }
    if values.slices > 1:  # between slices the network of the host is the fast one
        spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    if values.service_account:
        spec["serviceAccountName"] = names.dns_name(values.service_account, "service_account")
    if values.spot:
        selector[SPOT] = "true"
        spec["tolerations"] = [{"key": SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"}]
    return spec


def escaped(word: str) -> str:
    """A word of which Kubernetes leaves `$(NAME)` as it stands."""
    return word.replace("$(", "$$(")


def secret(text: str) -> dict[str, Any]:
    """A variable whose value the cluster takes from a secret, out of `NAME=SECRET/KEY`."""
    name, equals, reference = text.partition("=")
    place, slash, key = reference.partition("/")
    if not equals or not slash:
        raise InputError(f"--secret is '{name}=…'; want NAME=SECRET/KEY, the name and key of a Kubernetes secret")
    names.plain(key, "secret", "NAME=SECRET/KEY with a key of letters, digits, '-', '_' and '.'")
    where = {"secretKeyRef": {"name": names.dns_name(place, "secret"), "key": key}}
    return {"name": names.variable(name, "secret"), "valueFrom": where}


if __name__ == "__main__":
    jobs.run("gke", __doc__, FLAGS, main)
