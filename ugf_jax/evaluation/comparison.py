"""The figures of another evaluation beside one's own, in the report."""

import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from ugf_jax.errors import InputError
from ugf_jax.evaluation.report import Section, Table

Results = Mapping[str, Any]  # as in results.json

# What is shown: task, and metrics of every variant; `True` where it is a share.
SHOWN = (
    ("reconstruction", "psnr", False, "PSNR, dB"),
    ("generation", "correct", True, "all right, %"),
    ("generation_by_category", "correct", True, "all right, %"),
    ("understanding", "exact_match", True, "exact match, %"),
    ("understanding_by_kind", "exact_match", True, "exact match, %"),
    ("retrieval", "recall@1", True, "R@1, %"),
)


def read_results(path: epath.PathLike) -> dict[str, Any]:
    """A `results.json` of `ugf evaluate`.

    Raises:
      InputError: it is not one.
    """
    path = epath.Path(path)
    try:
        results = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"--beside {path}: cannot be read ({error}); want a results.json of `ugf evaluate`") from error
    if not isinstance(results, dict) or "run" not in results:
        raise InputError(f"--beside {path}: not a results.json of `ugf evaluate` (no 'run' in it)")
    return results


def comparison_section(results: Results, other: Results, name: str | None = None) -> Section:
    """The figures that both evaluations have, each with its standard error and number of items.

    Args:
      results: of this evaluation.
      other: of the other one.
      name: what the other's model is called; None: as its run is.
    """
    rows = []
    for task, metric, is_share, unit in SHOWN:
        for variant, metrics in results.get(task, {}).items():
            there = other.get(task, {}).get(variant, {})
            if metric in metrics and metric in there:
                what = task.removesuffix("_by_category").removesuffix("_by_kind") + f": {variant.replace('_', ' ')}"
                rows.append((what, unit, *(_cell(found[metric], is_share) for found in (metrics, there))))
    run = other["run"]["checkpoint"]
    columns = ("what", "unit", "this", name or f"{epath.Path(run['workdir']).name}, step {run['step']}")
    note = "Mean ± standard error (number of items). The items of the two evaluations need not be the same."
    table = Table("Figures of both", columns, rows, note)
    return Section(f"Beside {name or run['workdir']}", "", tables=[table] if rows else [])


def _cell(found: Mapping[str, Any], is_share: bool) -> str:
    """`93.1 ± 0.8 (1,000)`."""
    scale = 100 if is_share else 1
    error = "" if found["stderr"] is None else f" ± {scale * found['stderr']:.1f}"
    return f"{scale * found['value']:.1f}{error} ({found['n']:,})"
