"""What `ugf inspect RUN` prints: each start of a run, how it ended, and where the time went."""

import datetime
from collections.abc import Sequence
from typing import Any

from etils import epath

from ugf_jax.cli.tables import print_table
from ugf_jax.json_files import JsonLines
from ugf_jax.progress import human_time
from ugf_jax.training.goodput import SECTIONS
from ugf_jax.training.run_history import Attempt, RunHistory

_TOLD = 8  # metrics shown of the last log line


def show_run(workdir: epath.Path, history: RunHistory) -> None:
    """Prints the history of a run, its checkpoints and its newest metrics."""
    attempts = history.attempts
    print(f"{workdir}: {len(attempts)} starts, {attempts[-1].last} steps")
    print_table("Starts", ("", "at (UTC)", "from step", "to step", "lasted", "ended", "steps lost"), _rows(attempts))
    started = [(number, one.start_up) for number, one in enumerate(attempts, 1) if one.start_up]
    if started:
        parts = tuple(dict.fromkeys(part for _, one in started for part in one))
        rows = [(f"{n}", f"{sum(one.values()):.1f}", *(f"{one.get(p, 0):.1f}" for p in parts)) for n, one in started]
        print_table("Seconds to the end of the first step", ("start", "in all", *parts), rows)
    shown = [(name, f"{history.summary[name]:.1f}") for name in (*SECTIONS, "lost", "down") if history.summary[name]]
    print_table("Seconds", ("", ""), shown)
    print(f"\ngoodput {history.summary['goodput']:.1%}: steps that count, of all time that processes ran")
    steps = saved_steps(workdir)
    print("checkpoints: " + (", ".join(map(str, steps)) or "none"))
    for path in sorted(workdir.glob("stacks-*.txt")):
        print(f"{path}: what every thread did when the process hung")
    for kind, line in newest(workdir).items():
        numbers = [(n, v) for n, v in line.items() if isinstance(v, (int, float)) and n not in ("step", "time")]
        print(f"{kind} at step {line['step']}: " + " · ".join(f"{n} {v:.4g}" for n, v in numbers[:_TOLD]))


def _rows(attempts: Sequence[Attempt]) -> list[tuple[str, ...]]:
    return [
        (
            f"{number}",
            f"{datetime.datetime.fromtimestamp(one.started, datetime.UTC):%Y-%m-%d %H:%M:%S}",
            f"{one.first}",
            f"{one.last}",
            human_time(one.seconds),
            one.cause or "not known: it runs, or was killed",
            f"{one.lost}",
        )
        for number, one in enumerate(attempts, 1)
    ]


def saved_steps(workdir: epath.Path) -> list[int]:
    """Steps of which there is a checkpoint."""
    folder = workdir / "checkpoints"
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.exists() else []


def newest(workdir: epath.Path) -> dict[str, dict[str, Any]]:
    """The last line of `metrics.jsonl` of each kind."""
    found: dict[str, dict[str, Any]] = {}
    for line in JsonLines(workdir / "metrics.jsonl").read():
        if isinstance(line.get("step"), int):
            found[str(line.get("kind", "train"))] = line
    return found


def results(history: RunHistory) -> dict[str, Any]:
    """The same for `results.json`."""
    starts = [
        {
            "from": a.first,
            "to": a.last,
            "seconds": round(a.seconds, 3),
            "cause": a.cause,
            "lost": a.lost,
            "start_up": a.start_up,
        }
        for a in history.attempts
    ]
    return {"starts": starts, "seconds": history.summary}
