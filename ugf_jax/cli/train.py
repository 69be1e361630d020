"""ugf train: run a training stage; the same command resumes it.

  ugf train --config=experiments/clipart_tokenizer.py --workdir=runs/clipart
  ugf train --config=experiments/clipart_tokenizer.py --workdir=runs/clipart --config.optimizer.learning_rate=3e-4

The config is a Python file with `get_config()`; every key can be changed as `--config.group.key=value`. The work folder
receives config.json, metrics.jsonl, samples/ (pictures), checkpoints/, compiled/ (programs, read by a second start instead of
compiled again) and, at the end, results.json.

Where a run starts: a checkpoint in the work folder comes first, then config.resume (a work folder to take over whole), then
config.init_from (one whose parameters to start from, all but those of config.init_except), then step 0. A run that was stopped,
killed or preempted continues bit-identically; SIGTERM saves and exits with code 75.

On several hosts start the same command on each, with --distributed (JAX finds the others on TPU pods, Slurm and MPI) or with
--coordinator=HOST:PORT --num_processes=N --process_id=I.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import jax
from absl import flags
from etils import epath
from ml_collections import config_flags

from ugf_jax import config
from ugf_jax.cli import app
from ugf_jax.cli.config_flag import load_config
from ugf_jax.errors import InputError, RetryError, UgfError
from ugf_jax.json_files import write_json
from ugf_jax.training import stages
from ugf_jax.training.start_up import StartUp, process_age
from ugf_jax.training.trainer import train

# How long a process that has ended waits for the others to end: one that failed alone must not look alive for long.
LEAVING_SECONDS = 30

FLAGS = flags.FlagValues()
config_flags.DEFINE_config_file("config", None, "Config file, e.g. experiments/demo.py.", flag_values=FLAGS)
flags.DEFINE_string("workdir", None, "Folder of this run; made if missing, resumed if not empty.", flag_values=FLAGS)
flags.DEFINE_bool("allow_data_change", False, "Resume although the data are not those of the checkpoint.", flag_values=FLAGS)
flags.DEFINE_bool("distributed", False, "Several processes; JAX finds the others.", flag_values=FLAGS)
flags.DEFINE_string("coordinator", None, "Several processes; HOST:PORT of process 0.", flag_values=FLAGS)
flags.DEFINE_integer("num_processes", None, "With --coordinator: how many.", flag_values=FLAGS)
flags.DEFINE_integer("process_id", None, "With --coordinator: which one this is.", flag_values=FLAGS)


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Parses the config, joins the other processes and trains."""
    if positional:
        raise InputError(f"unexpected argument '{positional[0]}'; everything is a flag (see ugf train --help)")
    if values.config is None or not values.workdir:
        raise InputError(
            "--config=FILE and --workdir=FOLDER are both needed, e.g. --config=experiments/demo.py --workdir=runs/demo"
        )
    stage_type = stages.find(load_config(values).get("stage"))
    settings = config.parse(stage_type.settings, values.config)
    workdir = app.output_folder(values.workdir, "--workdir")
    join_processes(values, settings.heartbeat)
    use_compilation_cache(workdir)
    start_up = StartUp(process_age)
    start_up.done("imports")
    try:
        stage, data = stage_type.build(settings), stage_type.data(settings)
        summary = train(settings, stage, data, workdir, values.allow_data_change, start_up)
    except RetryError:
        raise  # all processes stop together
    except Exception as error:
        if jax.process_count() > 1:
            leave_the_others(error)
        raise
    if summary and jax.process_index() == 0:
        write_json(workdir / "results.json", summary)


def join_processes(values: flags.FlagValues, heartbeat: int) -> None:
    """Starts `jax.distributed` where a flag asks for it; after `heartbeat` silent seconds a process counts as lost."""
    waits: dict[str, Any] = {"shutdown_timeout_seconds": LEAVING_SECONDS, "heartbeat_timeout_seconds": heartbeat}
    if values.coordinator:
        if values.num_processes is None or values.process_id is None:
            raise InputError("--coordinator needs --num_processes and --process_id")
        several = (values.coordinator, values.num_processes, values.process_id)
        jax.distributed.initialize(*several, **waits)
    elif values.distributed:
        jax.distributed.initialize(**waits)


def leave_the_others(error: Exception) -> NoReturn:
    """Ends this process of several at once: an orderly end waits for the others, and they may be waiting for this one."""
    with contextlib.suppress(OSError):  # what is printed may go to the disk that is full
        if isinstance(error, UgfError):
            print(f"ugf train: {error}", file=sys.stderr, flush=True)
        else:
            traceback.print_exception(error)
        sys.stdout.flush()
    os._exit(error.exit_code if isinstance(error, UgfError) else 1)


def use_compilation_cache(workdir: epath.Path) -> None:
    """Keeps compiled programs in the work folder, so that a resumed run starts quickly (an environment setting wins).

    Not those of several processes on CPUs. There JAX names a program differently in each process and keeps process 0's
    alone; read back, it exchanges in another order than what the others compile, and gloo ends the run (jaxlib 0.10.2).
    """
    if jax.process_count() > 1 and jax.default_backend() == "cpu":
        jax.config.update("jax_enable_compilation_cache", False)
    elif "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", os.fspath(workdir / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb as a program."""
    app.run("train", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
