"""Shares as text: in percent, with their standard errors."""

from collections.abc import Mapping

from ugf_jax.evaluation.metrics import Estimate
from ugf_jax.evaluation.report import Card


def percent(estimate: Estimate) -> str:
    """`93.1 ± 0.8 %`."""
    return f"{cell(estimate)} %"


def cell(estimate: Estimate | None) -> str:
    """`93.1 ± 0.8`, for a table whose title says per cent; a dash where nothing was measured."""
    if estimate is None:
        return "–"
    error = "" if estimate.stderr is None else f" ± {100 * estimate.stderr:.1f}"
    return f"{100 * estimate.value:.1f}{error}"


def share_card(label: str, estimate: Estimate, remark: str = "") -> Card:
    """A share as a headline figure."""
    value, _, error = percent(estimate).partition(" ")
    return Card(label, value, error, remark)


def rejected(overall: Mapping[str, Mapping[str, Estimate]]) -> str:
    """`3 could not be read`, or nothing."""
    share = overall["images"]["rejected"]
    count = round(share.value * share.n)
    return f"{count:,} could not be read" if count else ""
