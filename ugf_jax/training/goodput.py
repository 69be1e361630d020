"""Where the time of a run goes, over all its restarts: what was training, and what was not.

`runs.jsonl` in the workdir keeps what a killed process can no longer tell: one line at each start and stop, and marks with
the step reached in between. Steps that a restart takes again were lost; a kill hides at most one interval between marks.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from etils import epath

from ugf_jax.json_files import JsonLines

SECTIONS = ("init", "compile", "step", "data", "checkpoint", "evaluation", "other")


class Goodput:
    """Splits wall time into `SECTIONS`; time outside every section is `other`.

    Args:
      workdir: of the run.
      write: keep `runs.jsonl` (the first process).
      clock: seconds that only grow.
      wall: seconds since 1970.
      interval: least seconds between two marks that are not saves.
      watch: what each section stands in, for example `Watchdog.section`.
    """

    def __init__(
        self,
        workdir: epath.PathLike,
        write: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        interval: float = 30.0,
        watch: Callable[[str], contextlib.AbstractContextManager[None]] = lambda name: contextlib.nullcontext(),
    ):
        self.watch = watch
        self.clock, self.wall, self.interval = clock, wall, interval
        self.seconds = dict.fromkeys(SECTIONS, 0.0)
        self.stack: list[str] = []
        self.step = 0
        self.last = self.last_mark = clock()
        self.started = wall()
        self.history = JsonLines(epath.Path(workdir) / "runs.jsonl") if write else None
        self.past = self.history.read() if self.history else []
        self.earlier, self.lost, self.down = _totals(self.past), 0.0, 0.0

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Counts the time inside as `name`, one of `SECTIONS`; an inner section interrupts an outer one."""
        if name not in SECTIONS:
            raise ValueError(f"section {name!r}; want one of {', '.join(SECTIONS)}")
        self._settle()
        self.stack.append(name)
        try:
            with self.watch(name):
                yield
        finally:
            self._settle()
            self.stack.pop()

    def resumed(self, step: int) -> None:
        """Says from which step this process goes on (0: from the start); what earlier ones did beyond it was lost."""
        self.step = step
        self.past.append({"event": "start", "step": step, "time": round(self.started, 3)})
        self.lost, self.down = _lost(self.past), _down(self.past)
        if self.history:
            self.history.append(self.past[-1])

    def ready(self, step: int, parts: dict[str, float]) -> None:
        """Notes that the first step of this process is done, and what its start took (`StartUp.parts`)."""
        self.step = step
        if self.history:
            self._record({"event": "ready", "step": step, "start_up": parts})

    def mark(self, step: int, saved: bool = False) -> None:
        """Notes that `step` was reached, if the last mark is old or the step was `saved`; for every log line and save."""
        self.step = step
        if self.history and (saved or self.clock() - self.last_mark >= self.interval):
            self.last_mark = self.clock()
            self._record({"event": "mark", "step": step})

    def stop(self, cause: str, step: int | None = None) -> None:
        """Notes how the process ended, e.g. `"done"` or `"preempted"`; by default at the last step that was marked."""
        if self.history:
            self._record({"event": "stop", "step": self.step if step is None else step, "cause": cause})

    def summary(self) -> dict[str, float]:
        """Seconds of all processes so far: the sections (`step` without what was lost), `lost`, `down`; `runs`; `goodput`.

        `down` is the time between two processes; it is not part of the goodput.
        """
        self._settle()
        total = {name: self.earlier.get(name, 0.0) + self.seconds[name] for name in SECTIONS}
        return _summary(total, self.lost, self.down, self.past)

    def goodput(self) -> float:
        """The share of time, between 0 and 1, spent in steps that were not lost."""
        return self.summary()["goodput"]

    def _settle(self) -> None:
        now = self.clock()
        self.seconds[self.stack[-1] if self.stack else "other"] += now - self.last
        self.last = now

    def _record(self, line: dict[str, Any]) -> None:
        self._settle()
        assert self.history
        self.history.append(
            line | {"time": round(self.wall(), 3), "seconds": {name: round(s, 3) for name, s in self.seconds.items()}}
        )


def summarize(lines: list[dict[str, Any]]) -> dict[str, float]:
    """`Goodput.summary` of what `runs.jsonl` tells, without the run."""
    return _summary(_totals(lines), _lost(lines), _down(lines), lines)


def _summary(total: dict[str, float], lost: float, down: float, lines: list[dict[str, Any]]) -> dict[str, float]:
    everything = sum(total.values())
    split = {**total, "step": total["step"] - lost, "lost": lost, "down": down}
    runs = max(1, sum(line.get("event") == "start" for line in lines))
    goodput = split["step"] / everything if everything > 0 else 0.0
    return {name: round(seconds, 3) for name, seconds in split.items()} | {"runs": runs, "goodput": round(goodput, 4)}


def _totals(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds by section of finished processes: the last record of each has its sums."""
    total = dict.fromkeys(SECTIONS, 0.0)
    for line, after in zip(lines, [*lines[1:], {"event": "start"}], strict=False):
        if "seconds" in line and after.get("event") == "start":
            for name, seconds in line["seconds"].items():
                total[name] = total.get(name, 0.0) + seconds
    return total


def _lost(lines: list[dict[str, Any]]) -> float:
    """Seconds in steps that were taken and then taken again."""
    lost, step, before = 0.0, 0, 0.0
    stretches: list[tuple[int, int, float]] = []  # first step, last step, seconds: work that still counts
    for line in lines:
        if line.get("event") == "start":
            step, before = line["step"], 0.0
            kept = []
            for first, last, seconds in stretches:
                share = min(max((step - first) / max(last - first, 1), 0.0), 1.0)
                lost += seconds * (1 - share)
                if share:
                    kept.append((first, min(last, step), seconds * share))
            stretches = kept
        elif "seconds" in line:
            now = line["seconds"].get("step", 0.0)
            stretches.append((step, line["step"], now - before))
            step, before = line["step"], now
    return lost


def _down(lines: list[dict[str, Any]]) -> float:
    """Seconds between the last sign of life of a process and the start of the next."""
    pairs = itertools.pairwise(lines)
    return sum(max(b["time"] - a["time"], 0.0) for a, b in pairs if b.get("event") == "start")
