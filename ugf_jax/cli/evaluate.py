"""ugf evaluate: measure a training run or a model on held-out data and write a report.

  ugf evaluate --workdir=runs/demo --tasks=reconstruction
  ugf evaluate --workdir=runs/demo --tasks=reconstruction --data=runs/demo/data/test --limit=100 --output=runs/check
  ugf evaluate --tasks=generation,understanding,retrieval,likelihood --data=data/shapes/test --output=runs/shipped
  ugf evaluate --model=models/small --tasks=generation --limit=210 --output=runs/small
  ugf evaluate --workdir=runs/reward0 --ensemble=runs/reward1,runs/reward2 --tasks=reward --data=data/prefs/test
  ugf evaluate --feedback=runs/ppo --improved=models/ppo --tasks=policy --output=runs/ppo/evaluation
  ugf evaluate --workdir=runs/tok --model=models/small --tasks=reconstruction,generation --data=data/test --beside=shipped

The output folder (by default `evaluation` in the work folder) receives
  results.json                   {task: {variant: {metric: {value, stderr, n}}}}, and what was evaluated with what under `run`
  report.html                    one page with figures, curves and pictures; it needs nothing else
  TASK/samples.jsonl             one line an item, written as the evaluation goes

A stopped or killed evaluation continues when the same command is given again, with the same results; each item counts once.
The log of another checkpoint, dataset or limit is put aside as samples.jsonl.old.

--beside shows the figures of another evaluation, its results.json, in a table beside these; `shipped` means those of the model
that comes with the package.

Tasks of a training run (--workdir):
  reconstruction   PSNR and SSIM of images at native resolution from master codes alone and with auxiliary codes, against JPEG
                   and WebP files of the same number of bytes; by shape; rate and distortion; codebook usage. Variants in
                   results.json: master, full, jpeg, webp, …_resized, codebook_master, codebook_auxiliary.

  reward           runs of stage reward: held-out accuracy by prompt, calibration, agreement with the checker of `shapes`, and
                   what scores go along with (length of the prompt, brightness, colour). --ensemble names more runs, for
                   example of other seeds: their scores are averaged, and their disagreement is shown.

Tasks of a model made by `ugf export` (--model; by default the one that comes with the package):
  generation       pictures of held-out prompts (1,000, or --limit) in three sizes, checked by program: shape, colour, count,
                   size, position, relation, background; by category and by size. Needs no data.
  understanding    questions about images: exact match by kind, beside the commonest answer
  retrieval        R@1, R@5, R@10 of captions to images and back, among 1,000 or --limit
  likelihood       bits a token of images given captions and of captions given images

Task of a run of stage rlhf (--feedback) and the model that `ugf export` made of it (--improved):
  policy           held-out prompts with the same seeds before and after, checked by program, and the curves of the run. Needs
                   no data.

With --nomemory the model knows images by their master codes alone: what the auxiliary codes are worth is the difference.
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
from ugf_jax.generation.unified_model import FIGURES, SHIPPED
from ugf_jax.json_files import write_json

FLAGS = flags.FlagValues()
flags.DEFINE_string("workdir", None, "Folder of the training run to evaluate.", flag_values=FLAGS)
flags.DEFINE_string("model", None, "Folder of the model to evaluate; by default the one that comes along.", flag_values=FLAGS)
flags.DEFINE_list("tasks", ["reconstruction"], "Tasks, separated by commas.", flag_values=FLAGS)
flags.DEFINE_string("data", None, "Prepared dataset; for a run by default its config.evaluation.dataset.", flag_values=FLAGS)
flags.DEFINE_list("ensemble", None, "More runs of stage reward, averaged with --workdir.", flag_values=FLAGS)
flags.DEFINE_string("feedback", None, "Folder of a run of stage rlhf.", flag_values=FLAGS)
flags.DEFINE_string("improved", None, "Folder of the model exported from it.", flag_values=FLAGS)
flags.DEFINE_boolean("memory", True, "Models look at the auxiliary codes of images; --nomemory: not.", flag_values=FLAGS)
flags.DEFINE_string("beside", None, "results.json of another evaluation, or: shipped.", flag_values=FLAGS)
flags.DEFINE_integer("step", None, "Which checkpoint; by default the newest that is sound.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_integer("limit", None, "Only so many items, evenly spaced over the data.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("report", None, "Where to write the page; by default report.html in the output folder.", flag_values=FLAGS)
flags.DEFINE_string("output", None, "Folder for the results; for a run by default WORKDIR/evaluation.", flag_values=FLAGS)


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Finds the run or model and its data, runs the tasks and writes the results."""
    if positional:
        raise InputError(f"unexpected argument '{positional[0]}'; everything is a flag (see ugf evaluate --help)")
    subjects = {subject for task in tasks.find(values.tasks).values() for subject in task.subjects}
    workdir = _workdir(values, "run" in subjects)
    model = _model(values, "model" in subjects)
    for name in ("feedback", "improved"):
        if values[name].value and "policy" not in subjects:
            raise InputError(f"--{name}: only the task policy looks at it; ask for it, or leave --{name} out")
    output = app.output_folder(_place(values, workdir, subjects), "--output")
    data = values.data or (default_data(workdir) if workdir else None)
    report = values.report or output / "report.html"
    use_compilation_cache(output)
    results, summaries = tasks.evaluate(
        values.tasks,
        workdir,
        data,
        output,
        model=model,
        beside=SHIPPED / FIGURES if values.beside == "shipped" else values.beside,
        ensemble=_ensemble(values),
        memory=values.memory,
        feedback=values.feedback,
        improved=values.improved,
        step=values.step,
        limit=values.limit,
        command=command_line(values),
        report=report,
    )
    write_json(output / "results.json", results)
    for line in summaries:
        print(line)
    print(f"results: {output / 'results.json'}\nreport:  {report}")


def _workdir(values: flags.FlagValues, needed: bool) -> epath.Path | None:
    """The training run to evaluate, if a task does."""
    if needed and not values.workdir:
        raise InputError("--workdir=FOLDER is needed: the folder of a training run, e.g. --workdir=runs/demo")
    if values.workdir and not needed:
        raise InputError(
            f"--workdir: {', '.join(values.tasks)} evaluates a model; make one with `ugf export`, name it with --model"
        )
    if values.step is not None and not needed:
        raise InputError("--step: a model has one set of parameters; leave it out")
    return epath.Path(values.workdir) if needed else None


def _ensemble(values: flags.FlagValues) -> list[str]:
    """Runs that judge together with that of --workdir."""
    if values.ensemble and "reward" not in values.tasks:
        raise InputError("--ensemble: only the task reward averages several runs; ask for it, or leave --ensemble out")
    return list(values.ensemble or ())


def _model(values: flags.FlagValues, needed: bool) -> epath.Path | None:
    """The exported model to evaluate, if a task does; by default the one that comes with the package."""
    if values.model and not needed:
        raise InputError(f"--model: {', '.join(values.tasks)} evaluates a training run; name it with --workdir")
    return epath.Path(values.model or SHIPPED) if needed else None


def _place(values: flags.FlagValues, workdir: epath.Path | None, subjects: set[str]) -> epath.Path:
    """Where results go."""
    if values.output:
        return epath.Path(values.output)
    if workdir is None or subjects != {"run"}:
        raise InputError("--output=FOLDER is needed: where to write what is found")
    return workdir / "evaluation"


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
    for name in (
        "workdir",
        "model",
        "tasks",
        "data",
        "ensemble",
        "feedback",
        "improved",
        "beside",
        "step",
        "limit",
        "output",
        "report",
    ):
        value = values[name].value
        if value is not None:
            parts.append(f"--{name}=" + (",".join(value) if isinstance(value, list) else str(value)))
    return shlex.join(parts if values.memory else [*parts, "--nomemory"])


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb as a program."""
    app.run("evaluate", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
