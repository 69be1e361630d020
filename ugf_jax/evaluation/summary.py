"""Samples of the task `reconstruction` to figures: means with standard errors, by variant, by shape and by rate."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ugf_jax.evaluation.metrics import Estimate, codebook_usage, estimate, perplexity
from ugf_jax.evaluation.sample import Sample, unpack_codes

Variants = dict[str, dict[str, Estimate]]


def summarize(samples: Sequence[Sample], codebooks: Mapping[str, int]) -> dict[str, Variants]:
    """Results by task, variant and metric.

    Args:
      samples: of `reconstruction.measure`; refused images among them count only in `reconstruction.images.rejected`.
      codebooks: number of codes of the `master` and the `auxiliary` codebook.

    Returns:
      `reconstruction` with variants `master`, `full`, one for each codec at the same bytes as `full` (and `…_resized`, where
      the image may also be shrunk first), `codebook_master`, `codebook_auxiliary` and `images`;
      `reconstruction_by_shape` with variants such as `full/4:3`, `full/@512` and `full/4:3@512`;
      `reconstruction_by_rate` with a variant `keep=…` for each share of auxiliary positions.
    """
    used = [s for s in samples if "rejected" not in s]
    overall = {"images": {"rejected": Estimate((len(samples) - len(used)) / max(len(samples), 1), None, len(samples))}}
    overall |= average(s["variants"] for s in used)
    if used:
        gain = [s["variants"]["full"]["psnr"] - s["variants"]["master"]["psnr"] for s in used]
        overall["full"]["psnr_gain"] = estimate(gain)  # paired, so its error is smaller than that of the difference of means
    for name, size in codebooks.items():
        counts = sum((np.bincount(unpack_codes(s["codes"][name]), minlength=size) for s in used), np.zeros(size, np.int64))
        n = int(counts.sum())
        overall[f"codebook_{name}"] = {
            "usage": Estimate(codebook_usage(counts), None, n),
            "perplexity": Estimate(perplexity(counts), None, n),
            "codes": Estimate(float(size), None, n),
        }
    return {
        "reconstruction": overall,
        "reconstruction_by_shape": by_shape(used),
        "reconstruction_by_rate": average({f"keep={k}": v for k, v in s["rates"].items()} for s in used if "rates" in s),
    }


def average(items: Iterable[Mapping[str, Mapping[str, float]]]) -> Variants:
    """Mean of each metric of each variant over items."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for variants in items:
        for variant, metrics in variants.items():
            for metric, value in metrics.items():
                values[variant][metric].append(value)
    return {variant: {m: estimate(v) for m, v in metrics.items()} for variant, metrics in values.items()}


def by_shape(samples: Sequence[Sample]) -> Variants:
    """PSNR and SSIM by aspect ratio, by scale and by both."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        aspect, scale = sample["aspect"], f"@{sample['scale']}"
        for name in (aspect, scale, aspect + scale):
            groups[name].append(sample)
    results: Variants = {}
    for name, members in sorted(groups.items()):
        for variant in ("master", "full"):
            chosen = ({variant: {m: s["variants"][variant][m] for m in ("psnr", "ssim")}} for s in members)
            results[f"{variant}/{name}"] = average(chosen)[variant]
    return results


def to_json(results: Mapping[str, Variants]) -> dict[str, Any]:
    """`{task: {variant: {metric: {"value", "stderr", "n"}}}}`."""
    return {
        task: {v: {m: {"value": e.value, "stderr": e.stderr, "n": e.n} for m, e in ms.items()} for v, ms in variants.items()}
        for task, variants in results.items()
    }
