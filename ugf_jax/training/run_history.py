"""What has happened to a run: each start and how it ended, the steps that were lost, and where the time went.

Read from `runs.jsonl`, which `Goodput` writes; no checkpoint is opened and nothing is changed.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from etils import epath

from ugf_jax.errors import InputError
from ugf_jax.json_files import JsonLines
from ugf_jax.training.goodput import SECTIONS, summarize

RUNS = "runs.jsonl"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One process (or group of processes) of a run.

    Attributes:
      started: seconds since 1970.
      first: step that it went on from.
      last: last step that it is known to have reached.
      cause: why it ended: `done`, `preempted`, `hung: SECTION`, …; `killed` where it could not say; empty while it runs or if
        that cannot be told.
      seconds: from its start to its last sign of life.
      lost: steps that the next attempt took again.
      seconds_by_section: of `SECTIONS`.
      start_up: seconds up to the end of its first step, by part; empty where it never came so far.
    """

    started: float
    first: int
    last: int
    cause: str
    seconds: float
    lost: int
    seconds_by_section: dict[str, float]
    start_up: dict[str, float]


@dataclasses.dataclass(frozen=True)
class RunHistory:
    """All attempts of a run, and `Goodput.summary` of them together."""

    attempts: tuple[Attempt, ...]
    summary: dict[str, float]


def read_run_history(workdir: epath.PathLike) -> RunHistory:
    """Reads the history of a run.

    Raises:
      InputError: the folder is no work folder of a training run, or its run never got as far as a first step.
    """
    path = epath.Path(workdir) / RUNS
    if not path.exists():
        raise InputError(f"{workdir}: not the work folder of a training run (no {RUNS} in it)")
    lines = JsonLines(path).read()
    starts = [i for i, line in enumerate(lines) if line.get("event") == "start"]
    if not starts:
        raise InputError(f"{path}: no start of a run in it; it is empty or not a history")
    ends = [*starts[1:], len(lines)]
    attempts = [_attempt(lines[i:j], lines[j] if j < len(lines) else None) for i, j in zip(starts, ends, strict=True)]
    return RunHistory(tuple(attempts), summarize(lines))


def _attempt(own: Sequence[dict[str, Any]], after: dict[str, Any] | None) -> Attempt:
    """From the lines of one attempt, and the start of the next."""
    start, last = own[0], own[-1]
    reached = max(line["step"] for line in own)
    cause = last["cause"] if last["event"] == "stop" else "killed" if after else ""
    return Attempt(
        started=start["time"],
        first=start["step"],
        last=reached,
        cause=cause,
        seconds=last["time"] - start["time"],
        lost=max(reached - after["step"], 0) if after else 0,
        seconds_by_section=last.get("seconds", dict.fromkeys(SECTIONS, 0.0)),
        start_up=next((line["start_up"] for line in own if "start_up" in line), {}),
    )
