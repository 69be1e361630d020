"""The registry of evaluation tasks, and the evaluation of a run by some of them."""

import dataclasses
import difflib
import importlib.metadata
import platform
from collections.abc import Callable, Sequence
from typing import Any

import jax
from etils import epath

from ugf_jax.data.index import Dataset, open_dataset
from ugf_jax.errors import InputError
from ugf_jax.evaluation import reconstruction, reconstruction_report
from ugf_jax.evaluation.history import read_history
from ugf_jax.evaluation.report import Section, write_report
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import Variants, summarize, to_json
from ugf_jax.generation.image_tokenizer import ImageTokenizer

LIBRARIES = ("ugf-jax", "jax", "jaxlib", "flax", "numpy", "pillow", "opencv-python-headless")


@dataclasses.dataclass(frozen=True)
class Job:
    """What to evaluate.

    Attributes:
      workdir: of the training run.
      dataset: held-out data.
      output: folder for `TASK/samples.jsonl`.
      step: of the checkpoint, or None for the newest.
      limit: number of items, or None for all.
      quiet: show no progress.
      report: where to write the page; default `report.html` in `output`.
    """

    workdir: epath.Path
    dataset: Dataset
    output: epath.Path
    step: int | None = None
    limit: int | None = None
    quiet: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a task found.

    Attributes:
      results: by task key, variant and metric.
      sections: of the report.
      summary: one line for the terminal.
      step: of the checkpoint that was evaluated.
      fingerprint: of its parameters.
      config: of the run, from the checkpoint.
      images: number of images, readable or not.
    """

    results: dict[str, Variants]
    sections: list[Section]
    summary: str
    step: int
    fingerprint: str
    config: dict[str, Any]
    images: int


@dataclasses.dataclass(frozen=True)
class Task:
    """A named evaluation; `version` rises whenever the same checkpoint and data would give other numbers."""

    version: int
    summary: str
    run: Callable[[Job], Outcome]


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
        "dataset": job.dataset.fingerprint,
        "settings": settings.identity(),
        "libraries": library_versions(),
    }
    folder = job.output / "reconstruction"
    folder.mkdir(parents=True, exist_ok=True)
    log = SampleLog(folder / "samples.jsonl", header)
    samples = reconstruction.measure(tokenizer, job.dataset, settings, log, job.quiet)
    if all("rejected" in s for s in samples):
        raise InputError(f"{job.dataset.folder}: none of {len(samples)} images can be read ({samples[0]['rejected']})")
    model = tokenizer.settings
    codebooks = {name: getattr(model, name).quantizer.codebook_size for name in ("master", "auxiliary")}
    results = summarize(samples, codebooks)
    sections = [
        reconstruction_report.headline_section(results, settings.codecs),
        reconstruction_report.gallery_section(tokenizer, job.dataset, settings, samples),
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
    workdir: epath.PathLike,
    data: epath.PathLike,
    output: epath.PathLike,
    step: int | None = None,
    limit: int | None = None,
    command: str = "",
    quiet: bool = False,
    report: epath.PathLike | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Runs tasks on a checkpoint and writes `report.html`; continues what an earlier, killed call left in `output`.

    Args:
      names: of the tasks.
      workdir: of the training run.
      data: a prepared dataset.
      output: an existing folder.
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
    job = Job(epath.Path(workdir), open_dataset(data), epath.Path(output), step, limit, quiet)
    outcomes = {name: task.run(job) for name, task in tasks.items()}
    first = next(iter(outcomes.values()))
    run = {
        "command": command,
        "tasks": {name: task.version for name, task in tasks.items()},
        "checkpoint": {"workdir": str(workdir), "step": first.step, "fingerprint": first.fingerprint},
        "dataset": {"folder": str(data), "fingerprint": job.dataset.fingerprint, "images": first.images, "limit": limit},
        "device": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
        "versions": {"python": platform.python_version(), **library_versions()},
    }
    results: dict[str, Any] = {}
    for outcome in outcomes.values():
        results |= to_json(outcome.results)
    sections = [section for outcome in outcomes.values() for section in outcome.sections]
    page = epath.Path(report or job.output / "report.html")
    write_report(page, f"Evaluation of {job.workdir.name}", sections, run, first.config)
    return results | {"run": run}, [outcome.summary for outcome in outcomes.values()]


def library_versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
