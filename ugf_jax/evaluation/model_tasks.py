"""The tasks that evaluate a whole model: `generation`, `understanding`, `retrieval`, `likelihood`."""

import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from ugf_jax.evaluation import (
    generation,
    generation_report,
    likelihood,
    likelihood_report,
    retrieval,
    retrieval_report,
    understanding,
    understanding_report,
)
from ugf_jax.evaluation.job import Job, Outcome, Task
from ugf_jax.evaluation.report import Section
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import Variants
from ugf_jax.evaluation.versions import library_versions
from ugf_jax.training.bundle import CONFIG


def run_generation(job: Job) -> Outcome:
    """Task `generation`; see `ugf_jax.evaluation.generation`.

    Raises:
      InputError: no model there.
    """
    settings = generation.DrawingSettings() if job.limit is None else generation.DrawingSettings(prompts=job.limit)
    model = job.model
    log, folder = _log(job, "generation", generation.VERSION, settings.identity(), data=False)
    samples = generation.measure(model, settings, log, folder / "pictures", job.quiet)
    results = generation.summarize(samples)
    sections = [
        generation_report.figures_section(results, settings),
        generation_report.gallery_section(samples, folder / "pictures"),
    ]
    return _outcome(job, results, sections, generation_report.summary_line(results), 0)


def run_understanding(job: Job) -> Outcome:
    """Task `understanding`; see `ugf_jax.evaluation.understanding`.

    Raises:
      InputError: no model there, or no questions in the dataset.
    """
    settings = understanding.QuestionSettings(limit=job.limit)
    model = job.model
    log, _ = _log(job, "understanding", understanding.VERSION, settings.identity())
    samples = understanding.measure(model, job.data, settings, log, job.quiet)
    results = understanding.summarize(samples)
    sections = [understanding_report.figures_section(results), understanding_report.gallery_section(samples, job.data)]
    images = len({sample["record"] for sample in samples})
    return _outcome(job, results, sections, understanding_report.summary_line(results), images)


def run_retrieval(job: Job) -> Outcome:
    """Task `retrieval`; see `ugf_jax.evaluation.retrieval`.

    Raises:
      InputError: no model there, or no captioned images in the dataset.
    """
    settings = retrieval.RetrievalSettings() if job.limit is None else retrieval.RetrievalSettings(limit=job.limit)
    model = job.model
    log, _ = _log(job, "retrieval", retrieval.VERSION, settings.identity())
    samples = retrieval.measure(model, job.data, settings, log, job.quiet)
    results = retrieval.summarize(samples)
    sections = [retrieval_report.figures_section(results), retrieval_report.neighbours_section(samples, job.data)]
    return _outcome(job, results, sections, retrieval_report.summary_line(results), len(samples))


def run_likelihood(job: Job) -> Outcome:
    """Task `likelihood`; see `ugf_jax.evaluation.likelihood`.

    Raises:
      InputError: no model there, or no captioned images in the dataset.
    """
    settings = likelihood.LikelihoodSettings(limit=job.limit)
    model = job.model
    log, _ = _log(job, "likelihood", likelihood.VERSION, settings.identity())
    samples = likelihood.measure(model, job.data, settings, log, job.quiet)
    results = likelihood.summarize(samples)
    sections = [likelihood_report.figures_section(results)]
    return _outcome(job, results, sections, likelihood_report.summary_line(results), len(samples))


MODEL_TASKS = {
    "generation": Task(
        generation.VERSION, "pictures of held-out prompts, checked by program", run_generation, ("model",), needs_data=False
    ),
    "understanding": Task(understanding.VERSION, "questions about images: exact match by kind", run_understanding, ("model",)),
    "retrieval": Task(retrieval.VERSION, "captions and images found by each other: R@1, R@5, R@10", run_retrieval, ("model",)),
    "likelihood": Task(likelihood.VERSION, "bits a token of images and captions", run_likelihood, ("model",)),
}


def _log(job: Job, task: str, version: int, settings: Mapping[str, Any], data: bool = True) -> tuple[SampleLog, epath.Path]:
    folder = job.output / task
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "task": task,
        "version": version,
        "model": job.model_digest if job.memory else f"{job.model_digest} without memory",
        "dataset": job.data.fingerprint if data else None,
        "settings": settings,
        "libraries": library_versions(),
    }
    return SampleLog(folder / "samples.jsonl", header), folder


def _outcome(job: Job, results: dict[str, Variants], sections: list[Section], summary: str, images: int) -> Outcome:
    config = json.loads((job.folder / CONFIG).read_text())
    step = config.get("steps", {}).get("unified", 0)
    shown = [s for s in sections if s.cards or s.tables or s.exhibits or s.introduction]
    return Outcome(results, shown, summary, step, job.model_digest, config, images)
