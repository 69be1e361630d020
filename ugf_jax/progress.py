"""Progress of long work: a bar on a terminal, plain lines when piped; rate and time left on both."""

import sys
import time
from typing import Any, Self

import rich.console
import rich.progress


def human_time(seconds: float) -> str:
    """`95.0` → `1m35s`."""
    seconds = max(int(seconds), 0)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


class Progress:
    """Counts towards `total` items and shows it on standard error.

    Args:
      label: what is being done, e.g. `"prepare clipart"`.
      total: number of items expected, or None where it cannot be known.
      unit: plural noun of the items, e.g. `"images"`.
      done: items already done before (a resumed run); they do not count towards the rate.
      interval: seconds between two lines when standard error is not a terminal.
      quiet: show nothing (processes other than the first).
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        unit: str = "items",
        done: int = 0,
        interval: float = 5.0,
        quiet: bool = False,
    ):
        self.label, self.total, self.unit, self.interval, self.quiet = label, total, unit, interval, quiet
        self.start = self.last_line = time.monotonic()
        self.first = self.done = done
        self.extra = self.shown = ""
        self.bar: rich.progress.Progress | None = None
        if not quiet and sys.stderr.isatty():
            self.bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.TextColumn("{task.fields[status]}"),
                console=rich.console.Console(stderr=True),
                transient=False,
            )
            self.task = self.bar.add_task(label, total=total, completed=done, status="")
            self.bar.start()

    def advance(self, count: int = 1, **shown: Any) -> None:
        """Adds `count` finished items; keyword values are shown beside the rate."""
        self.done += count
        if shown:
            self.extra = "".join(f" · {k} {v}" for k, v in shown.items())
        if self.bar:
            self.bar.update(self.task, completed=self.done, status=self.status())
        elif not self.quiet and time.monotonic() - self.last_line >= self.interval:
            self._line()

    def show(self, done: int, status: str) -> None:
        """Moves to `done` and shows `status` in place of the usual rate: on the bar, or as a line of its own."""
        self.done, self.shown = done, status
        if self.bar:
            self.bar.update(self.task, completed=done, status=status)
        elif not self.quiet:
            print(status, file=sys.stderr, flush=True)

    def status(self) -> str:
        """`120/1500 images · 88.1/s · 15s left`, with whatever `advance` was told to show."""
        if self.shown:
            return self.shown
        rate = (self.done - self.first) / max(time.monotonic() - self.start, 1e-9)
        of = f"/{self.total}" if self.total is not None else ""
        left = f" · {human_time((self.total - self.done) / rate)} left" if self.total is not None and rate > 0 else ""
        return f"{self.done}{of} {self.unit} · {rate:.1f}/s{left}{self.extra}"

    def note(self, text: str) -> None:
        """Prints a line without disturbing the bar."""
        if self.bar:
            self.bar.console.print(text, markup=False, highlight=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Shows the final state."""
        if self.bar:
            self.bar.update(self.task, completed=self.done, status=self.status())
            self.bar.stop()
            self.bar = None
        elif not self.quiet:
            self._line()
        self.quiet = True

    def _line(self) -> None:
        self.last_line = time.monotonic()
        print(f"{self.label}: {self.status()}", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
