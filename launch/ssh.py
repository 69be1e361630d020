"""ssh: train on machines that one can log in to, one process each.

  python -m launch.ssh --config=experiments/demo.py --workdir=/data/runs/demo --hosts=a,b --directory=/data/ugf-jax --dry-run

Prints the commands (--dry-run) or runs them and stays until the run has ended: keep it in tmux. What process 0 says is shown as
it is, lines of the others begin with their number. Ctrl-C, SIGTERM or a lost connection ask all processes to save and stop.
75 and what was killed start again by themselves, however often, a crash or a host that cannot be reached at most
--max_restarts times; 0 and 2 end it. Machines must have the repository at --directory and share --workdir. A variable named
with --pass_env is sent by ssh itself (the hosts' sshd must accept it), never as text of a command.
"""

import shlex
import sys
from collections.abc import Sequence

from absl import flags

from launch import job as jobs
from launch import names
from launch.job import Job
from launch.policy import Restarts
from launch.supervisor import Supervisor
from ugf_jax.errors import InputError

FLAGS = flags.FlagValues()
jobs.define(FLAGS)
flags.DEFINE_list("hosts", [], "Hosts, the first is process 0; each a name for ssh.", flag_values=FLAGS)
flags.DEFINE_integer("devices", 1, "JAX devices of a host.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("port", 8476, "Free port of the first host.", lower_bound=1, upper_bound=65535, flag_values=FLAGS)
flags.DEFINE_string("directory", None, "Where the repository lies on the hosts.", flag_values=FLAGS)
flags.DEFINE_string("python", ".venv/bin/python", "Python with the package, from --directory.", flag_values=FLAGS)
flags.DEFINE_multi_string("env", [], "NAME=VALUE of a variable that is no secret; repeatable.", flag_values=FLAGS)
flags.DEFINE_multi_string("pass_env", [], "Name of a variable to send from here; repeatable.", flag_values=FLAGS)

# A signal to ssh does not reach the other side, but the end of its input does, also when the connection is lost: it becomes
# SIGTERM there, and the exit code still comes back.
KEEPER = (
    'exec 3<&0; "$@" </dev/null 3<&- & run=$!; { cat <&3; kill -TERM "$run"; } >/dev/null 2>&1 & watch=$!; '
    'exec 3<&-; wait "$run"; code=$?; kill "$watch" 2>/dev/null; exit "$code"'
)
OPTIONS = ("BatchMode=yes", "ServerAliveInterval=15", "ServerAliveCountMax=8")


def main(job: Job, values: flags.FlagValues) -> None:
    """Prints the commands or runs them."""
    ready = commands(job, values)
    jobs.check(job, len(ready) * values.devices)
    if job.dry_run:
        print(f"# grace period: {job.grace} s, {job.grace_source}")
        for command in ready:
            print(jobs.shown(command))
    elif code := launch(ready, job.grace, Restarts(job.max_restarts)):
        sys.exit(code)


def launch(ready: Sequence[Sequence[str]], grace: float, restarts: Restarts, pause: float = 5.0) -> int:
    """Runs the commands until they are done, or are not to be started again; returns the exit code."""
    supervisor = Supervisor(grace, by_input=True)
    return supervisor.repeat(lambda: supervisor.run(ready), restarts, pause)


def commands(job: Job, values: flags.FlagValues) -> list[list[str]]:
    """The ssh command of every host.

    Raises:
      InputError: a flag is missing or holds what ssh would misunderstand.
    """
    hosts = [names.host(host, "hosts") for host in values.hosts]
    if not hosts or len(set(hosts)) < len(hosts):
        raise InputError(f"--hosts is '{','.join(hosts)}'; want different hosts split by commas, for example a,b")
    for flag, path in (("directory", values.directory or ""), ("workdir", job.workdir)):
        if not path.startswith("/") and not (flag == "workdir" and jobs.is_remote(path)):
            raise InputError(f"--{flag} is '{path}'; want an absolute path that all hosts have")
    reference = "--pass_env=NAME"
    variables = [f"{name}={value}" for name, value in (names.assignment(text, "env", reference) for text in values.env)]
    sent = [f"SendEnv={names.variable(name, 'pass_env')}" for name in values.pass_env]
    options = [word for option in (*OPTIONS, *sent) for word in ("-o", option)]
    coordinator = f"{hosts[0].rpartition('@')[2]}:{values.port}"
    ready = []
    for process, host in enumerate(hosts):
        several = [f"--coordinator={coordinator}", f"--num_processes={len(hosts)}", f"--process_id={process}"]
        train = ["env", *variables, *job.train(values.python), *several]
        remote = f"cd -- {shlex.quote(values.directory)} && exec {shlex.join(['sh', '-c', KEEPER, 'sh', *train])}"
        ready.append(["ssh", *options, "--", host, remote])
    return ready


if __name__ == "__main__":
    jobs.run("ssh", __doc__, FLAGS, main)
