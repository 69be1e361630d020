"""Task `policy` from a run of stage `rlhf` and the model made of it to results and sections."""

import json
from typing import Any

from etils import epath

from ugf_jax.errors import InputError
from ugf_jax.evaluation import policy, policy_report
from ugf_jax.evaluation.history import read_history
from ugf_jax.evaluation.job import Job, Outcome, Task
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.versions import library_versions
from ugf_jax.generation.unified_model import UnifiedModel
from ugf_jax.training.bundle import digest


def run_policy(job: Job) -> Outcome:
    """Compares the model that a run of stage `rlhf` started from with the one made of it; see `ugf_jax.evaluation.policy`.

    Raises:
      InputError: no such run or model, or a run of another stage.
    """
    run, improved = job.policy
    config = read_config(run)
    start = epath.Path(config["model"])
    after = UnifiedModel.load(improved)
    settings = policy.PolicyTaskSettings(
        prompts=policy.PolicyTaskSettings.prompts if job.limit is None else job.limit,
        guidance=config["sampler"]["guidance"],
        details=config["details"],
    )
    folder = job.output / "policy"
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "task": "policy",
        "version": policy.VERSION,
        "models": [digest(start), digest(improved)],
        "settings": settings.identity(),
        "libraries": library_versions(),
    }
    models = {"before": UnifiedModel.load(start), "after": after}
    log = SampleLog(folder / "samples.jsonl", header)
    samples = policy.measure(models, settings, log, folder / "pictures", job.quiet)
    results = policy.summarize(samples)
    sections = [
        policy_report.figures_section(results, config["algorithm"]),
        policy_report.curves_section(read_history(run / "metrics.jsonl")),
        policy_report.gallery_section(samples, folder / "pictures"),
    ]
    step = after.settings.steps.get("rlhf", 0)
    return Outcome(results, sections, policy_report.summary_line(results), step, digest(improved), config, 0)


def read_config(run: epath.Path) -> dict[str, Any]:
    """The config of the run.

    Raises:
      InputError: it cannot be read, or is of another stage.
    """
    path = run / "config.json"
    try:
        found = json.loads(path.read_text())
        stage = found["stage"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--feedback {run}: no config.json of a training run can be read ({error})") from error
    if stage != "rlhf":
        raise InputError(f"--feedback {run}: a run of stage '{stage}'; task policy wants one of stage 'rlhf'")
    return dict(found)


POLICY_TASK = Task(
    policy.VERSION,
    "a model before and after feedback: the same prompts and seeds, and the run's curves",
    run_policy,
    ("policy",),
    needs_data=False,
)
