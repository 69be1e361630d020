"""The curves of a training run, read back from its `metrics.jsonl`."""

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from etils import epath

from ugf_jax.json_files import JsonLines

Curve = tuple[np.ndarray, np.ndarray]
_ABOUT = ("step", "time", "kind")


def read_history(path: epath.PathLike) -> dict[tuple[str, str], Curve]:
    """Steps and values of each metric, by kind (`train`, `validation`) and name, in order of steps.

    A missing file gives no curves. Lines that are not whole, values that are not finite numbers and metrics that only some
    lines have are passed over; where a step was logged twice (after a resume) the later line counts.
    """
    values: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for entry in JsonLines(path).read():
        if not isinstance(entry.get("step"), int):
            continue
        for name, value in entry.items():
            if name not in _ABOUT and isinstance(value, (int, float)) and math.isfinite(value):
                values[entry.get("kind", "train"), name][entry["step"]] = float(value)
    return {key: _curve(points) for key, points in values.items()}


def thin(curve: Curve, points: int = 400) -> Curve:
    """At most `points` points: means over equally many neighbours."""
    steps, values = curve
    each = -(-len(steps) // points)
    if each <= 1:
        return curve
    starts = np.arange(0, len(steps), each)
    counts = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts


def _curve(points: Mapping[int, float]) -> Curve:
    steps = sorted(points)
    return np.array(steps, np.float64), np.array([points[s] for s in steps])
