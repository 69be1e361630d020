r"""slurm: train on GPU nodes of a Slurm cluster.

  python -m launch.slurm --config=experiments/ugf_1b.py --workdir=/scratch/ours/ugf_1b --nodes=4 --gpus=8 --time=1-00:00:00 \
    --directory=/scratch/ours/ugf-jax --dry-run

Prints the batch script (--dry-run) or gives it to sbatch. One process a GPU. The run is asked to stop in time before the limit,
saves and is queued again (exit code 75), as after a preemption or a lost node; 0 and 2 end it; after a crash it is queued again
at most --max_restarts times. Variables that training needs, secrets among them, are named with --pass_env: their values travel
from where this is called and stand in no file.
"""

import re
import shlex

from absl import flags

from launch import job as jobs
from launch import names
from launch.job import Job
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_RETRY, InputError

FLAGS = flags.FlagValues()
jobs.define(FLAGS)
flags.DEFINE_integer("nodes", 1, "Nodes.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("gpus", 8, "GPUs of a node.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("time", "1-00:00:00", "Limit of one stretch, D-HH:MM:SS; the run goes on in the next.", flag_values=FLAGS)
flags.DEFINE_string("partition", None, "Partition.", flag_values=FLAGS)
flags.DEFINE_string("account", None, "Account.", flag_values=FLAGS)
flags.DEFINE_string("directory", None, "Where the repository lies on the nodes.", flag_values=FLAGS)
flags.DEFINE_string("python", ".venv/bin/python", "Python with the package, from --directory.", flag_values=FLAGS)
flags.DEFINE_multi_string("pass_env", [], "Name of a variable to take from here; repeatable.", flag_values=FLAGS)

TIME = re.compile(r"([0-9]+-)?[0-9]{1,2}:[0-9]{2}:[0-9]{2}")
ALWAYS_PASSED = ("HOME", "LANG", "PATH", "USER")
# srun reports the highest code of all tasks, and a task that waits for one that ended with 2 is aborted with 134.
WRONG = 200

SCRIPT = """\
#!/bin/bash
{directives}
# Grace period: {source}.
set -u
trap : TERM  # what takes the node away may ask this shell too: it has to wait for its tasks
cd -- {directory} || exit {wrong}
for name in {passed}; do
  [ -n "${{!name+x}}" ] || {{ echo "$name is not set; export it before sbatch" >&2; exit {wrong}; }}
done
# A task lets its training end in peace, and says so loudly when the input was wrong.
srun --kill-on-bad-exit=0 --wait={grace} bash -c \\
  'trap : TERM; "$@"; code=$?; [ "$code" -ne {wrong} ] || code={loud}; exit "$code"' task \\
  {train}
code=$?
case $code in
  {done}) exit {done} ;;
  {loud}) exit {wrong} ;;
  {retry}) ;;
  *) [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ] || exit "$code" ;;
esac
scontrol requeue "$SLURM_JOB_ID"
exit "$code"
"""


def main(job: Job, values: flags.FlagValues) -> None:
    """Prints the batch script or submits it."""
    text = script(job, values)
    jobs.check(job, values.nodes * values.gpus)
    if job.dry_run:
        print(text, end="")
    else:
        jobs.send(["sbatch"], text)


def script(job: Job, values: flags.FlagValues) -> str:
    """The batch script.

    Raises:
      InputError: a flag is missing or holds what Slurm would refuse.
    """
    directory = values.directory
    if not directory or not directory.startswith("/"):
        raise InputError(f"--directory is '{directory or ''}'; want the absolute path of the repository on the nodes")
    if not jobs.is_remote(job.workdir) and not job.workdir.startswith("/"):
        raise InputError(f"--workdir is '{job.workdir}'; want an absolute path that all nodes share")
    if not TIME.fullmatch(values.time):
        raise InputError(f"--time is '{values.time}'; want D-HH:MM:SS, for example 1-00:00:00")
    passed = [names.variable(name, "pass_env") for name in values.pass_env]
    wanted = {
        "job-name": job.name,
        "partition": values.partition and names.plain(values.partition, "partition", "the name of a partition"),
        "account": values.account and names.plain(values.account, "account", "the name of an account"),
        "nodes": values.nodes,
        "ntasks-per-node": values.gpus,
        "gpus-per-node": values.gpus,
        "time": values.time,
        "signal": f"TERM@{job.grace}",  # to the tasks, so long before the limit
        "output": f"{job.name}-%j.log",
        "open-mode": "append",
        "export": ",".join([*ALWAYS_PASSED, *passed]),
    }
    directives = [f"#SBATCH --{name}={value}" for name, value in wanted.items() if value is not None]
    return SCRIPT.format(
        directives="\n".join([*directives, "#SBATCH --requeue"]),
        directory=shlex.quote(directory),
        passed=" ".join(passed),
        grace=job.grace,
        source=f"{job.grace} s, {job.grace_source}",
        train=jobs.shown([*job.train(values.python), "--distributed"]),
        restarts=job.max_restarts,
        wrong=EXIT_BAD_INPUT,
        retry=EXIT_RETRY,
        done=EXIT_DONE,
        loud=WRONG,
    )


if __name__ == "__main__":
    jobs.run("slurm", __doc__, FLAGS, main)
