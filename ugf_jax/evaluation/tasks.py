"""The registry of evaluation tasks, and the evaluation of a run or a model by some of them."""

import difflib
import platform
from collections.abc import Iterable, Sequence
from typing import Any

import jax
from etils import epath

from ugf_jax.data.index import open_dataset
from ugf_jax.errors import InputError
from ugf_jax.evaluation import reconstruction, reconstruction_report
from ugf_jax.evaluation.comparison import comparison_section, read_results
from ugf_jax.evaluation.history import read_history
from ugf_jax.evaluation.job import Job, Outcome, Task
from ugf_jax.evaluation.model_tasks import MODEL_TASKS
from ugf_jax.evaluation.policy_task import POLICY_TASK
from ugf_jax.evaluation.report import write_report
from ugf_jax.evaluation.reward_task import REWARD_TASK
from ugf_jax.evaluation.run_report import run_section
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import summarize, to_json
from ugf_jax.evaluation.versions import library_versions
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.generation.unified_model import FIGURES, SHIPPED


def run_reconstruction(job: Job) -> Outcome:
    """Task `reconstruction`; see `ugf_jax.evaluation.reconstruction`.

    Raises:
      InputError: no tokenizer there, or no image in the dataset can be read.
    """
    tokenizer = ImageTokenizer.load(job.workdir, job.step)
    settings = reconstruction.ReconstructionSettings(limit=job.limit)
    tokenizer.canvas *= 2  # held-out images have any shape: a third as many compilations for at most a patch more of padding
    fingerprint = tokenizer.digest()
    header = {
        "task": "reconstruction",
        "version": reconstruction.VERSION,
        "step": tokenizer.step,
        "parameters": fingerprint,
        "dataset": job.data.fingerprint,
        "settings": settings.identity(),
        "libraries": library_versions(),
    }
    folder = job.output / "reconstruction"
    folder.mkdir(parents=True, exist_ok=True)
    log = SampleLog(folder / "samples.jsonl", header)
    samples = reconstruction.measure(tokenizer, job.data, settings, log, job.quiet)
    if all("rejected" in s for s in samples):
        raise InputError(f"{job.data.folder}: none of {len(samples)} images can be read ({samples[0]['rejected']})")
    model = tokenizer.settings
    codebooks = {name: getattr(model, name).quantizer.codebook_size for name in ("master", "auxiliary")}
    results = summarize(samples, codebooks)
    sections = [
        reconstruction_report.headline_section(results, settings.codecs),
        reconstruction_report.gallery_section(tokenizer, job.data, settings, samples),
        reconstruction_report.detail_section(results),
        reconstruction_report.training_section(read_history(job.workdir / "metrics.jsonl")),
    ]
    return Outcome(
        results,
        [section for section in sections if section],
        reconstruction_report.summary_line(results),
        tokenizer.step,
        fingerprint,
        tokenizer.config,
        len(samples),
    )


TASKS = {
    "reconstruction": Task(
        reconstruction.VERSION, "images from master and auxiliary codes: PSNR, SSIM, bits, codebooks", run_reconstruction
    ),
    "reward": REWARD_TASK,
    "policy": POLICY_TASK,
    **MODEL_TASKS,
}


def find(names: Sequence[str]) -> dict[str, Task]:
    """The tasks of these names, in the order given.

    Raises:
      InputError: an unknown name, or none.
    """
    known = ", ".join(TASKS)
    for name in names:
        if name not in TASKS:
            close = difflib.get_close_matches(name, TASKS, n=1)
            raise InputError(
                f"--tasks: no task '{name}'" + (f", did you mean '{close[0]}'?" if close else "") + f"; known: {known}"
            )
    if not names:
        raise InputError(f"--tasks is empty; known tasks: {known}")
    return {name: TASKS[name] for name in names}


def evaluate(
    names: Sequence[str],
    workdir: epath.PathLike | None,
    data: epath.PathLike | None,
    output: epath.PathLike,
    *,
    model: epath.PathLike | None = None,
    beside: epath.PathLike | None = None,
    ensemble: Sequence[epath.PathLike] = (),
    memory: bool = True,
    feedback: epath.PathLike | None = None,
    improved: epath.PathLike | None = None,
    step: int | None = None,
    limit: int | None = None,
    command: str = "",
    quiet: bool = False,
    report: epath.PathLike | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Runs tasks on a checkpoint and writes `report.html`; continues what an earlier, killed call left in `output`.

    Args:
      names: of the tasks.
      workdir: of the training run, for the tasks that evaluate one.
      data: a prepared dataset; None for tasks that need none.
      output: an existing folder.
      model: folder of the exported model, for the tasks that evaluate one.
      memory: whether the model looks at the auxiliary codes of images.
      beside: `results.json` of another evaluation, whose figures the report shows beside these.
      ensemble: more runs of stage `reward`, which judge together with `workdir`.
      feedback: work folder of a run of stage `rlhf`, for the task that evaluates one.
      improved: folder of the model exported from it.
      step: of the checkpoint; default the newest sound one.
      limit: number of items of each task, evenly spaced over the dataset; default all.
      command: that repeats this evaluation, for the report.
      quiet: show no progress.
      report: where to write the page; default `report.html` in `output`.

    Returns:
      The results, `{task: {variant: {metric: {"value", "stderr", "n"}}}}` and, under `run`, what was evaluated with what;
      and a summary line of each task.

    Raises:
      InputError: whatever is wrong with the arguments.
    """
    tasks = find(names)
    dataset = None if data is None else open_dataset(data)
    other = None if beside is None else read_results(beside)
    run, bundle, *policy = (None if path is None else epath.Path(path) for path in (workdir, model, feedback, improved))
    job = Job(run, bundle, dataset, epath.Path(output), step, limit, quiet, memory, tuple(map(epath.Path, ensemble)), *policy)
    _check_complete(job, tasks.values())
    outcomes = {name: task.run(job) for name, task in tasks.items()}
    first = next(iter(outcomes.values()))
    subject = job.subjects(next(iter(tasks.values())))[0]
    about = {
        "command": command,
        "tasks": {name: task.version for name, task in tasks.items()},
        "checkpoint": {"workdir": str(subject), "step": first.step, "fingerprint": first.fingerprint},
        "dataset": None
        if dataset is None
        else {
            "folder": str(data),
            "fingerprint": dataset.fingerprint,
            "images": max(outcome.images for outcome in outcomes.values()),
            "limit": limit,
        },
        "device": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
        "versions": {"python": platform.python_version(), **library_versions()},
    }
    results: dict[str, Any] = {}
    for outcome in outcomes.values():
        results |= to_json(outcome.results)
    sections = [section for outcome in outcomes.values() for section in outcome.sections]
    sections += [section for path in (run, job.feedback) if path is not None and (section := run_section(path))]
    if other is not None:
        name = "the model that ships" if beside == SHIPPED / FIGURES else None
        sections.insert(0, comparison_section(results, other, name))
    page = epath.Path(report or job.output / "report.html")
    named = dict.fromkeys(folder.name for task in tasks.values() for folder in job.subjects(task))
    write_report(page, f"Evaluation of {' and '.join(named)}", sections, about, first.config)
    return results | {"run": about}, [outcome.summary for outcome in outcomes.values()]


def _check_complete(job: Job, tasks: Iterable[Task]) -> None:
    """Says what is missing before anything is computed."""
    for task in tasks:
        job.subjects(task)
        if task.needs_data:
            job.data  # noqa: B018
