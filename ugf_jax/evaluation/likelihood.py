"""Task `likelihood`: bits a token, by modality, of held-out captioned images."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ugf_jax.data.index import Dataset
from ugf_jax.evaluation.batches import captioned, first_image, grouped, measure_batches
from ugf_jax.evaluation.metrics import Estimate
from ugf_jax.evaluation.model import BATCH, Likelihood
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import Variants

VERSION = 1  # of the numbers: rises whenever the same model and data would give others


@dataclasses.dataclass(frozen=True)
class LikelihoodSettings:
    """What is predicted.

    Attributes:
      limit: number of captioned images, evenly spaced; None for all.
      batch: records computed together.
    """

    limit: int | None = None
    batch: int = BATCH

    def identity(self) -> dict[str, Any]:
        """What the results depend on."""
        return dataclasses.asdict(self)


def measure(
    model: Likelihood, dataset: Dataset, settings: LikelihoodSettings, log: SampleLog, quiet: bool = False
) -> list[Sample]:
    """Predicts every record that `log` does not hold yet.

    Returns:
      for each record, whose number is its row, `key`, and by modality `nats` and `tokens`; or why its image was `rejected`.
    """
    numbers = captioned(dataset, settings.limit)

    def compute(rows: tuple[int, ...]) -> list[Sample]:
        records = [dataset.record(row) for row in rows]
        images = [first_image(record) for record in records]
        readable = [i for i, image in enumerate(images) if isinstance(image, np.ndarray)]
        samples: list[Sample] = [{"key": r.key, "rejected": str(i)} for r, i in zip(records, images, strict=True)]
        found = model.likelihood([records[i] for i in readable]) if readable else []
        for i, modalities in zip(readable, found, strict=True):
            nats = {name: value for name, (value, _) in modalities.items()}
            tokens = {name: count for name, (_, count) in modalities.items()}
            samples[i] = {"key": records[i].key, "nats": nats, "tokens": tokens}
        return samples

    return measure_batches("likelihood", grouped(numbers, lambda _: 0, settings.batch), compute, log, quiet)


def summarize(samples: Sequence[Sample]) -> dict[str, Variants]:
    """Bits a token of each modality, and perplexity; a token counts as much as any other.

    Returns:
      `likelihood` with a variant for each modality; metrics `bits_per_token`, `perplexity` and `tokens` (of an item).
    """
    used = [s for s in samples if "rejected" not in s]
    results: Variants = {"images": {"rejected": Estimate(1 - len(used) / max(len(samples), 1), None, len(samples))}}
    for name in sorted({m for s in used for m in s["nats"]}):
        members = [s for s in used if s["tokens"].get(name)]
        if members:
            tokens = np.array([s["tokens"][name] for s in members], np.float64)
            bits = ratio(np.array([s["nats"][name] for s in members]) / math.log(2), tokens)
            perplexity = 2**bits.value
            error = None if bits.stderr is None else bits.stderr * perplexity * math.log(2)
            results[name] = {
                "bits_per_token": bits,
                "perplexity": Estimate(perplexity, error, bits.n),
                "tokens": Estimate(float(tokens.mean()), None, bits.n),
            }
    return {"likelihood": results}


def ratio(amounts: np.ndarray, counts: np.ndarray) -> Estimate:
    """Σ amounts / Σ counts over independent items, and its standard error (linearised, Cochran 1977, section 2.11)."""
    n, total = len(amounts), float(counts.sum())
    value = float(amounts.sum()) / total
    if n < 2:
        return Estimate(value, None, n)
    return Estimate(value, float(np.sqrt(np.square(amounts - value * counts).sum() * n / (n - 1)) / total), n)
