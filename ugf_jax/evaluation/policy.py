"""Task `policy`: what training on rewards has changed, on held-out prompts drawn with the same seeds before and after."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from ugf_jax.data import shapes
from ugf_jax.evaluation.batches import grouped, measure_batches
from ugf_jax.evaluation.generation import picture_file
from ugf_jax.evaluation.metrics import Estimate, estimate
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import Variants
from ugf_jax.generation.generate_tokens import GenerationSettings
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.generation.unified_model import Drawing, UnifiedModel

VERSION = 1  # of the numbers: rises whenever the same models and settings would give others
SIDES = ("before", "after")
MEASURES = ("correct", "score", "diversity")


@dataclasses.dataclass(frozen=True)
class PolicyTaskSettings:
    """What is drawn.

    Attributes:
      prompts: number of prompts of `shapes`; categories take turns.
      samples: pictures of each, by either model.
      guidance: of the run; what was not trained need not have become better.
      details: judge pictures with their details, as the run did.
      size: (height, width) of the pictures in pixels.
      split: of the prompts.
      seed: of the first prompt.
      batch: prompts drawn together.
    """

    prompts: int = 200
    samples: int = 4
    guidance: float = 1.0
    details: bool = False
    size: tuple[int, int] = (256, 256)
    split: str = "test"
    seed: int = 0
    batch: int = 8

    def identity(self) -> dict[str, Any]:
        """What the results depend on."""
        return dataclasses.asdict(self)


def measure(
    models: Mapping[str, UnifiedModel], settings: PolicyTaskSettings, log: SampleLog, folder: epath.Path, quiet: bool = False
) -> list[Sample]:
    """Draws with both models what `log` does not hold yet.

    Args:
      models: `before` and `after`.
      settings: what is drawn.
      log: of samples.
      folder: keeps the first picture of each prompt and model.
      quiet: show no progress.

    Returns:
      for each prompt `prompt`, `category`, and for each model lists over its pictures, `correct` (all that was asked for) and
      `score` (share of what was asked for), and their `diversity`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    how = GenerationSettings(image=SamplingSettings(), guidance=settings.guidance)  # as rollouts are drawn by default

    def compute(rows: tuple[int, ...]) -> list[Sample]:
        asked = [shapes.prompt(row, settings.split) for row in rows]
        samples: list[Sample] = [{"prompt": text, "category": required.category} for text, required in asked]
        for side, model in models.items():
            prompts = [text for text, _ in asked]
            drawn = model.draw(prompts, settings.size, [settings.seed + row for row in rows], how, settings.samples)
            for sample, row, (_, required), drawings in zip(samples, rows, asked, drawn, strict=True):
                pictures = [d.image if settings.details else d.master for d in drawings]
                picture_file(folder / side, row).write_bytes(shapes.encode_png(pictures[0]))
                sample[side] = judge(pictures, drawings, required)
        return samples

    for side in models:
        (folder / side).mkdir(exist_ok=True)
    return measure_batches("policy", grouped(range(settings.prompts), lambda _: 0, settings.batch), compute, log, quiet)


def judge(pictures: Sequence[np.ndarray], drawings: Sequence[Drawing], required: shapes.Requirement) -> Sample:
    """What the pictures of one prompt show, and in what share of master codes two of them differ on average."""
    scores = [shapes.score(shapes.find(picture).scene, required) for picture in pictures]
    codes = np.stack([drawing.codes.master.ravel() for drawing in drawings])
    pairs = len(codes) * (len(codes) - 1)
    differ = float((codes[:, None] != codes[None]).mean(axis=-1).sum() / pairs) if pairs else 0.0
    return {"score": scores, "correct": [float(score == 1) for score in scores], "diversity": differ}


def summarize(samples: Sequence[Sample]) -> dict[str, Variants]:
    """`policy` with the variants `before`, `after` and `gain` (prompt by prompt); metrics as in `MEASURES`, by prompt."""
    values = {side: {name: of_prompts(samples, side, name) for name in MEASURES} for side in SIDES}
    results: dict[str, dict[str, Estimate]] = {
        side: {name: estimate(found) for name, found in values[side].items()} for side in SIDES
    }
    results["gain"] = {name: estimate(values["after"][name] - values["before"][name]) for name in MEASURES}
    return {"policy": results}


def of_prompts(samples: Sequence[Sample], side: str, name: str) -> np.ndarray:
    """A measure of each prompt, the mean over its pictures: float64 `[prompts]`."""
    return np.array([np.mean(sample[side][name]) for sample in samples])
