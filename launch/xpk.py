r"""xpk: train on TPU slices of a cluster that was made with xpk.

  python -m launch.xpk --config=experiments/ugf_1b.py:gs://ours/data --workdir=gs://ours/runs/ugf_1b --topology=v5p:8x8x8 \
    --slices=4 --image=europe-docker.pkg.dev/ours/ugf/ugf:1 --cluster=pod --project=ours --zone=us-east5-a --dry-run

Prints the `xpk workload create` command (--dry-run) or runs it. xpk knows one limit of restarts, so that restarts after a
preemption count too; secrets need launch.gke.
"""

from absl import flags

from launch import job as jobs
from launch import names
from launch.job import Job
from launch.topology import Slice
from ugf_jax.errors import InputError

FLAGS = flags.FlagValues()
jobs.define(FLAGS, restarts=100)
jobs.define_tpu(FLAGS)
for _flag, _help in (
    ("cluster", "Name of the cluster."),
    ("project", "Google Cloud project."),
    ("zone", "Zone of the cluster."),
):
    flags.DEFINE_string(_flag, None, _help, flag_values=FLAGS)

NAME_MOST = 28  # what xpk and the queue put around a name leaves so many characters
RESTART_ON = "1,3-126"  # beside xpk's own 42 and 127-255: everything but 0 (done) and 2 (wrong input)


def main(job: Job, values: flags.FlagValues) -> None:
    """Prints the command or runs it."""
    piece, environment = jobs.tpu(job, values, "xpk has no such thing; use launch.gke --secret")
    arguments = command(job, piece, values, environment)
    if job.dry_run:
        print(f"# grace period: {job.grace_source}\n{jobs.shown(arguments)}")
    else:
        jobs.send(arguments)


def command(job: Job, piece: Slice, values: flags.FlagValues, environment: dict[str, str]) -> list[str]:
    """The arguments of xpk.

    Raises:
      InputError: a flag is missing, or holds what xpk would refuse.
    """
    for flag in ("cluster", "project", "zone"):
        if not getattr(values, flag):
            raise InputError(f"--{flag} is missing; xpk needs to know --cluster, --project and --zone")
    place = [f"--{flag}={names.label(getattr(values, flag), flag)}" for flag in ("cluster", "project", "zone")]
    return [
        *("xpk", "workload", "create", *place),
        f"--workload={names.label(job.name, 'name', NAME_MOST, first_letter=True)}",
        f"--tpu-type={piece.generation.prefix or piece.name}-{piece.topology}",
        f"--num-slices={values.slices}",
        *(["--spot"] if values.spot else []),
        f"--docker-image={values.image}",
        f"--command={jobs.shown([*job.train(), '--distributed'])}",  # xpk gives it to a shell
        *(f"--env={name}={value}" for name, value in environment.items()),
        f"--max-restarts={job.max_restarts}",
        f"--restart-on-exit-codes={RESTART_ON}",
        f"--termination-grace-period-seconds={job.grace}",
    ]


if __name__ == "__main__":
    jobs.run("xpk", __doc__, FLAGS, main)
