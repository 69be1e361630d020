"""ugf evaluate: measure a checkpoint on held-out data and write a report.

  ugf evaluate --workdir=runs/demo --tasks=reconstruction
  ugf evaluate --workdir=runs/demo --tasks=reconstruction --data=runs/demo/data/test --limit=100 --output=runs/check

The output folder (by default `evaluation` in the work folder) receives
  results.json                   {task: {variant: {metric: {value, stderr, n}}}}, and what was evaluated with what under `run`
  report.html                    one page with figures, curves and pictures; it needs nothing else
  TASK/samples.jsonl             one line an item, written as the evaluation goes

A stopped or killed evaluation continues when the same command is given again, with the same results; each item counts once.
The log of another checkpoint, dataset or limit is put aside as samples.jsonl.old.

Tasks:
  reconstruction   PSNR and SSIM of images at native resolution from master codes alone and with auxiliary codes, against JPEG
                   and WebP files of the same number of bytes; by shape; rate and distortion; codebook usage. Variants in
                   results.json: master, full, jpeg, webp, …_resized, codebook_master, codebook_auxiliary.
"""

import json
import shlex
from collections.abc import Sequence
from typing import NoReturn

from absl import flags
from etils import epath

from ugf_jax.cli import app
from ugf_jax.cli.train import use_compilation_cache
from ugf_jax.errors import InputError
from ugf_jax.evaluation import tasks
from ugf_jax.json_files import write_json

FLAGS = flags.FlagValues()
flags.DEFINE_string("workdir", None, "Folder of the training run to evaluate.", flag_values=FLAGS)
flags.DEFINE_list("tasks", ["reconstruction"], "Tasks, separated by commas.", flag_values=FLAGS)
flags.DEFINE_string("data", None, "Prepared dataset; by default config.evaluation.dataset of the run.", flag_values=FLAGS)
flags.DEFINE_integer("step", None, "Which checkpoint; by default the newest that is sound.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_integer("limit", None, "Only so many items, evenly spaced over the data.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("report", None, "Where to write the page; by default report.html in the output folder.", flag_values=FLAGS)
flags.DEFINE_string("output", None, "Folder for the results; by default WORKDIR/evaluation.", flag_values=FLAGS)


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Finds the run and its data, runs the tasks and writes the results."""
    if positional:
        raise InputError(f"unexpected argument '{positional[0]}'; everything is a flag (see ugf evaluate --help)")
    if not values.workdir:
        raise InputError("--workdir=FOLDER is needed: the folder of a training run, e.g. --workdir=runs/demo")
    tasks.find(values.tasks)
    workdir = epath.Path(values.workdir)
    data = values.data or default_data(workdir)
    output = app.output_folder(values.output or workdir / "evaluation", "--output")
    report = values.report or output / "report.html"
    use_compilation_cache(output)
    results, summaries = tasks.evaluate(
        values.tasks, workdir, data, output, values.step, values.limit, command_line(values), report=report
    )
    write_json(output / "results.json", results)
    for line in summaries:
        print(line)
    print(f"results: {output / 'results.json'}\nreport:  {report}")


def default_data(workdir: epath.Path) -> str:
    """The validation data that the run's config.json names. No Python file of the run is executed.

    Raises:
      InputError: there is no run, or its config names no data.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise InputError(f"--workdir {workdir}: not the folder of a training run (no config.json in it)")
    try:
        config = json.loads(path.read_text())
        data = config["evaluation"]["dataset"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no config.evaluation.dataset can be read from it; name the data with --data") from error
    if not data or not isinstance(data, str):
        raise InputError(f"{path}: config.evaluation.dataset is empty; name the data with --data=FOLDER")
    return data


def command_line(values: flags.FlagValues) -> str:
    """The command that repeats this evaluation."""
    parts = ["ugf", "evaluate"]
    for name in ("workdir", "tasks", "data", "step", "limit", "output", "report"):
        value = values[name].value
        if value is not None:
            parts.append(f"--{name}=" + (",".join(value) if isinstance(value, list) else str(value)))
    return shlex.join(parts)


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb as a program."""
    app.run("evaluate", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
