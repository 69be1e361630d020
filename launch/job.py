"""What all launchers share: the flags that say what to run, and the check of it before anything is paid for."""

import dataclasses
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags

from launch import grace, names
from launch.topology import Slice, parse
from ugf_jax.cli import app
from ugf_jax.errors import EXIT_RETRY, InputError

Main = Callable[["Job", flags.FlagValues], None]
OVERRIDE = "--config."
# Settings that name folders or files to read, of any stage.
FOLDERS = ("data.datasets", "data.text_tokenizer", "evaluation.dataset", "tokenizer", "model", "resume", "init_from")


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run to be started.

    Attributes:
      name: by RFC 1123.
      config: file of the experiment, perhaps with `:arguments`.
      workdir: of the run, seen by every host.
      overrides: `--config.a.b=value` in order.
      grace: seconds that a run gets to save and end.
      grace_source: where that number is from.
      max_restarts: after crashes; a preempted run always starts again.
      dry_run: print instead of run.
    """

    name: str
    config: str
    workdir: str
    overrides: tuple[str, ...]
    grace: int
    grace_source: str
    max_restarts: int
    dry_run: bool

    def train(self, python: str = "python") -> list[str]:
        """The training command of every process, as arguments; how processes find each other is still missing."""
        return [python, "-m", "ugf_jax.cli.train", f"--config={self.config}", f"--workdir={self.workdir}", *self.overrides]


def define(own: flags.FlagValues, restarts: int = 20) -> None:
    """Adds the flags that every launcher has."""
    flags.DEFINE_string("config", None, "Config file in the repository, e.g. experiments/ugf_1b.py.", flag_values=own)
    flags.DEFINE_string("workdir", None, "Folder of the run that every host sees.", flag_values=own)
    flags.DEFINE_string("name", None, "Name of the job (default: that of the config file).", flag_values=own)
    flags.DEFINE_integer("grace", None, "Seconds from SIGTERM to SIGKILL.", lower_bound=1, flag_values=own)
    flags.DEFINE_string(
        "grace_from", None, "Workdir of a run that has saved: its measured times give --grace.", flag_values=own
    )
    flags.DEFINE_integer("max_restarts", restarts, "Restarts after crashes.", lower_bound=0, flag_values=own)
    flags.DEFINE_bool("dry_run", False, "Print what would run, and run nothing.", flag_values=own)
    flags.DEFINE_alias("dry-run", "dry_run", flag_values=own)


def define_tpu(own: flags.FlagValues) -> None:
    """Adds the flags of launchers that start containers on TPU slices."""
    flags.DEFINE_string("topology", None, "Slice, e.g. v5p:8x8x8, v5e:16x16.", flag_values=own)
    flags.DEFINE_integer("slices", 1, "How many such slices train together.", lower_bound=1, flag_values=own)
    flags.DEFINE_string("image", None, "Container image, made from the Dockerfile.", flag_values=own)
    flags.DEFINE_multi_string("env", [], "NAME=VALUE of a variable that is no secret; repeatable.", flag_values=own)
    flags.DEFINE_bool("spot", False, "Capacity that may be taken away at any time.", flag_values=own)


def run(verb: str, doc: str, own: flags.FlagValues, main: Main, argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a launcher as a program."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    overrides = [a for a in arguments if a.startswith(OVERRIDE)]

    def with_job(positional: Sequence[str], values: flags.FlagValues) -> None:
        job = make(values, overrides)
        if positional:
            raise InputError(f"unexpected argument '{positional[0]}'; everything is a flag (see --help)")
        main(job, values)

    app.run(verb, doc, own, with_job, [a for a in arguments if not a.startswith(OVERRIDE)])


def make(values: flags.FlagValues, overrides: Sequence[str]) -> Job:
    """The job that the flags describe.

    Raises:
      InputError: a flag is missing or has a value that no launcher can use.
    """
    for flag in ("config", "workdir"):
        if not getattr(values, flag):
            raise InputError(f"--{flag} is missing; it is needed, as in --config=experiments/demo.py --workdir=gs://ours/demo")
    for text in (values.config, values.workdir, *overrides):
        if not text.isprintable():
            raise InputError(f"{text.split()[0]}…: want one line of printable characters")
    for override in overrides:
        if "=" not in override:
            raise InputError(f"{override}: write {override}=VALUE")
    path = pathlib.PurePath(values.config.partition(":")[0])
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"--config is '{values.config}'; want a path within the repository, which every host has a copy of")
    if not pathlib.Path(path).is_file():
        raise InputError(f"--config: there is no file {path} here; run this from the root of the repository")
    name = names.label(values["name"].value or names.from_text(path.stem), "name", first_letter=True)
    if values.grace is not None and values.grace_from is not None:
        raise InputError("--grace and --grace_from are both set; want one")
    seconds, source = grace.UNMEASURED, "not measured; --grace_from=RUN takes it from a run"
    if values.grace is not None:
        seconds, source = values.grace, "as told"
    elif values.grace_from is not None:
        seconds, source = grace.from_run(values.grace_from)
    return Job(
        name, values.config, values.workdir, tuple(overrides), seconds, source, values.max_restarts, bool(values.dry_run)
    )


def tpu(job: Job, values: flags.FlagValues, secret: str) -> tuple[Slice, dict[str, str]]:
    """The slice and the environment that the flags of `define_tpu` describe, after a check of the whole job.

    Args:
      job: what to run.
      values: the flags.
      secret: how this launcher is given secrets.

    Raises:
      InputError: something is missing or does not fit together.
    """
    if not values.topology:
        raise InputError("--topology is missing; for example --topology=v5p:8x8x8")
    piece = parse(values.topology)
    if not values.image:
        raise InputError("--image is missing; build one from the Dockerfile and name it here")
    names.image(values.image)
    if not is_remote(job.workdir):
        raise InputError(f"--workdir is '{job.workdir}', which ends with its container; want a path such as gs://BUCKET/runs/1")
    check(job, values.slices * piece.devices, values.slices, remote=True)
    return piece, dict(names.assignment(text, "env", secret) for text in values.env)


def is_remote(path: str) -> bool:
    """Whether a path names an object store."""
    return "://" in path


def check(job: Job, devices: int, slices: int = 1, remote: bool = False) -> None:
    """Reads the config as the hosts will, so that a mistake in it costs nothing.

    Args:
      job: what to run.
      devices: JAX devices of all hosts.
      slices: TPU slices that they are in.
      remote: hosts have nothing but the image, so folders must lie in an object store.

    Raises:
      InputError: what training would refuse: an unknown key, a wrong value, a mesh that does not fit the devices.
    """
    from ml_collections import config_flags  # with the stages JAX comes, which takes seconds: not for a wrong flag

    from ugf_jax import config
    from ugf_jax.cli.config_flag import load_config
    from ugf_jax.training import sharding, stages

    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "", flag_values=values)
    app.parse_flags("train", values, [f"--config={job.config}", *job.overrides])
    settings = config.parse(stages.find(load_config(values).get("stage")).settings, values.config)
    data, *_ = sharding.mesh_shape(settings.mesh, devices)
    if data % slices:
        raise InputError(f"config.mesh.data is {data}; want a multiple of the {slices} slices, which only it may span")
    for key, folder in folders(settings) if remote else ():
        if not is_remote(folder) and not folder.startswith("/"):
            raise InputError(f"config.{key}: '{folder}' is not in the image; want a path such as gs://BUCKET/{folder}")


def folders(settings: object) -> list[tuple[str, str]]:
    """`(key, folder)` of everything that a run reads."""
    found = []
    for key in FOLDERS:
        value: object = settings
        for part in key.split("."):
            value = getattr(value, part, None)
        for folder in value if isinstance(value, tuple) else (value,):
            if isinstance(folder, str) and folder:
                found.append((key, folder))
    return found


def send(command: Sequence[str], text: str = "") -> None:
    """Runs a command with `text` as its input.

    Raises:
      InputError: the program is not installed.
      SystemExit: it failed; with its exit code.
    """
    try:
        code = subprocess.run(command, input=text, text=True, check=False).returncode
    except FileNotFoundError as error:
        raise InputError(f"{command[0]} is not installed here; install it, or use --dry-run and run what it prints") from error
    if code:
        sys.exit(code if code > 0 else EXIT_RETRY)


def shown(command: Sequence[str]) -> str:
    """A command as one would type it."""
    return shlex.join(command)
