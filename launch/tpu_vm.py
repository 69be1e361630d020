r"""tpu_vm: train on Cloud TPU VMs, asked for as a queued resource.

  python -m launch.tpu_vm --config=experiments/ugf_1b.py:gs://ours/data --workdir=gs://ours/runs/ugf_1b --topology=v6e:16x16 \
    --image=europe-docker.pkg.dev/ours/ugf/ugf:1 --project=ours --zone=us-east5-a --spot --dry-run

Prints the gcloud command and the script that every host runs when it starts (--dry-run), or sends them. On each host systemd
keeps the container: 0 and 2 end it, everything else (75, a crash, a restart of the machine) starts it again, at most
--max_restarts times a day. A spot slice that was taken away is not given back: delete the queued resource and send the same
command again; the run continues from its workdir.
"""

import shlex

from absl import flags

from launch import job as jobs
from launch import names
from launch.job import Job
from launch.topology import Slice
from ugf_jax.errors import EXIT_BAD_INPUT, InputError

FLAGS = flags.FlagValues()
jobs.define(FLAGS)
jobs.define_tpu(FLAGS)
flags.DEFINE_string("project", None, "Google Cloud project.", flag_values=FLAGS)
flags.DEFINE_string("zone", None, "Zone, e.g. us-east5-a.", flag_values=FLAGS)
flags.DEFINE_string("service_account", None, "E-mail of the account that the hosts act as.", flag_values=FLAGS)
flags.DEFINE_multi_string("secret", [], "NAME=SECRET: variable NAME from Secret Manager.", flag_values=FLAGS)
flags.DEFINE_string("valid_until_duration", None, "Give up waiting after this time, e.g. 6h.", flag_values=FLAGS)

SECRETS = "--secret=NAME=SECRET of Secret Manager"

SCRIPT = """\
#!/bin/bash
# Every host runs this when it starts: grace period {grace} s ({source}).
set -euo pipefail
umask 077
systemctl is-active --quiet {name} && exit 0
{variables}
cat > /run/{name}.sh <<'END'
exec {container}
END
cat > /run/systemd/system/{name}.service <<'END'
[Unit]
Description=Training of {name}
StartLimitIntervalSec=86400
StartLimitBurst={starts}
[Service]
ExecStartPre=-/usr/bin/docker rm --force {name}
ExecStart=/bin/bash /run/{name}.sh
Restart=on-failure
RestartPreventExitStatus={wrong}
RestartSec=30
KillMode=mixed
TimeoutStopSec={grace}
END
{login}
until docker pull {image}; do sleep 30; done
systemctl daemon-reload
systemctl reset-failed {name} || true
systemctl start --no-block {name}
"""


def main(job: Job, values: flags.FlagValues) -> None:
    """Prints the command and its script, or sends them."""
    piece, environment = jobs.tpu(job, values, SECRETS)
    arguments = command(job, piece, values)
    text = script(job, values, environment)
    if job.dry_run:
        print(f"{jobs.shown(arguments)} <<'SCRIPT'\n{text}SCRIPT")
    else:
        jobs.send(arguments, text)


def command(job: Job, piece: Slice, values: flags.FlagValues) -> list[str]:
    """The gcloud command; it reads the script of the hosts from its input.

    Raises:
      InputError: a flag is missing, or the Cloud TPU API has no such slice.
    """
    if piece.generation.prefix is None:
        raise InputError(f"--topology is '{piece}'; {piece.name} is to be had in GKE only: use launch.gke")
    for flag in ("project", "zone"):
        if not getattr(values, flag):
            raise InputError(f"--{flag} is missing; gcloud needs to know --project and --zone")
    most = 63 - len(f"-{values.slices - 1}")
    name = names.label(job.name, "name", most, first_letter=True)
    if piece.generation.flat:  # the number of chips says which slice
        kind = [f"--accelerator-type={piece.accelerator_type}"]
    else:
        kind = [f"--type={piece.generation.prefix}", f"--topology={piece.topology}"]
    nodes = [f"--node-id={name}"]
    if values.slices > 1:
        nodes = [f"--node-count={values.slices}", f"--node-prefix={name}"]
    optional = ["--spot"] if values.spot else []
    if values.service_account:
        optional.append(f"--service-account={names.plain(values.service_account, 'service_account', 'an e-mail address')}")
    if values.valid_until_duration:
        text = names.plain(values.valid_until_duration, "valid_until_duration", "a time such as 6h")
        optional.append(f"--valid-until-duration={text}")
    return [
        *("gcloud", "compute", "tpus", "queued-resources", "create", name),
        *(f"--{flag}={names.label(getattr(values, flag), flag)}" for flag in ("project", "zone")),
        *kind,
        f"--runtime-version={piece.generation.runtime}",
        *nodes,
        "--scopes=cloud-platform",
        "--metadata-from-file=startup-script=/dev/stdin",
        *optional,
    ]


def script(job: Job, values: flags.FlagValues, environment: dict[str, str]) -> str:
    """What every host runs when it starts. Values of secrets are read on the host and are in no file but one of its memory."""
    name, image = job.name, shlex.quote(values.image)
    lines = [f"printf '%s\\n' {shlex.quote(f'{key}={value}')}" for key, value in environment.items()]
    for text in values.secret:
        variable, _, secret = text.partition("=")
        names.variable(variable, "secret")
        names.plain(secret, "secret", f"{SECRETS}, for example --secret=HF_TOKEN=hub-token")
        read = f"gcloud secrets versions access latest --project={values.project} --secret={secret}"
        lines += [f'value="$({read})"', f"printf '%s\\n' \"{variable}=$value\""]  # the assignment fails if the reading does
    variables = "{\n  :\n" + "".join(f"  {line}\n" for line in lines) + f"}} > /run/{name}.env"
    limits = ["--privileged", "--network=host", "--ulimit=memlock=-1", f"--stop-timeout={job.grace}"]
    container = ["docker", "run", "--rm", f"--name={name}", *limits, f"--env-file=/run/{name}.env", values.image]
    registry = values.image.partition("/")[0]
    google = registry.endswith("-docker.pkg.dev") or registry.endswith("gcr.io")
    return SCRIPT.format(
        name=name,
        grace=job.grace,
        source=job.grace_source,
        variables=variables,
        container=jobs.shown([*container, *job.train(), "--distributed"]),
        starts=job.max_restarts + 1,
        wrong=EXIT_BAD_INPUT,
        login=f"gcloud auth configure-docker {shlex.quote(registry)} --quiet" if google else ":",
        image=image,
    )


if __name__ == "__main__":
    jobs.run("tpu_vm", __doc__, FLAGS, main)
