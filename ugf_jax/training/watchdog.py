"""Notices that a run hangs: a section of the loop takes longer than it ever should.

A hung process looks alive to a scheduler and holds its whole slice. The watchdog writes down where every thread stands and ends
the process with exit code 75, so that whoever started it starts it again.
"""

import contextlib
import dataclasses
import faulthandler
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from etils import epath

from ugf_jax import config
from ugf_jax.config import NOT_NEGATIVE
from ugf_jax.errors import EXIT_RETRY

POLL = 1.0  # seconds between two looks at the clock, at most


@dataclasses.dataclass(frozen=True)
class WatchdogSettings:
    """Seconds that one stay in a section may take before the process counts as hung; 0: any."""

    init: float = config.setting(3600.0, NOT_NEGATIVE, "opening data, restoring a checkpoint")
    compile: float = config.setting(7200.0, NOT_NEGATIVE, "compiling every bucket")
    step: float = config.setting(1800.0, NOT_NEGATIVE, "one step, of which the device may be behind by one")
    data: float = config.setting(1800.0, NOT_NEGATIVE, "waiting for one batch")
    checkpoint: float = config.setting(3600.0, NOT_NEGATIVE, "one save")
    evaluation: float = config.setting(7200.0, NOT_NEGATIVE, "one evaluation")


class Watchdog:
    """A thread that ends the process when a section takes too long.

    Args:
      settings: limits by section; a section that they do not name may take any time.
      workdir: receives `stacks-PROCESS.txt`, what every thread did when the process hung.
      process: its number.
      hung: called with the section before the process ends, for example to note the cause.
      leave: ends the process.
      clock: seconds that only grow.
    """

    def __init__(
        self,
        settings: WatchdogSettings,
        workdir: epath.PathLike,
        process: int = 0,
        hung: Callable[[str], None] = lambda section: None,
        leave: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.limits = dataclasses.asdict(settings)
        self.path = epath.Path(workdir) / f"stacks-{process}.txt"
        self.hung, self.leave, self.clock = hung, leave, clock
        self._watched: tuple[str, float] | None = None  # section and when it began; replaced whole, so no lock is needed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Watches what is inside; an inner section interrupts an outer one, which begins anew after it."""
        before = self._watched
        self._watched = (name, self.clock())
        try:
            yield
        finally:
            self._watched = (before[0], self.clock()) if before else None

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        shortest = min((limit for limit in self.limits.values() if limit), default=POLL)
        while not self._stop.wait(min(POLL, shortest / 4)):
            watched = self._watched
            limit = self.limits.get(watched[0], 0.0) if watched else 0.0
            if watched and limit and self.clock() - watched[1] > limit:
                self._end(watched[0], limit)
                return

    def _end(self, section: str, limit: float) -> None:
        print(
            f"hung: '{section}' takes more than config.watchdog.{section}, {limit:g} seconds; {self.path} has all stacks; "
            "ending with exit code 75, so that the same command continues from the last checkpoint",
            file=sys.stderr,
            flush=True,
        )
        faulthandler.dump_traceback(all_threads=True)
        # Whatever the file system or the log do, the process must end.
        helper = threading.Thread(target=self._write_down, args=(section,), daemon=True)
        helper.start()
        helper.join(timeout=10)
        self.leave(EXIT_RETRY)

    def _write_down(self, section: str) -> None:
        try:
            self.path.write_text(stacks(section))
        finally:
            self.hung(section)


def stacks(section: str) -> str:
    """What every thread of this process is doing, after a first line that names the section."""
    with tempfile.TemporaryFile("w+") as file:  # not a pipe: faulthandler would fill it and wait for a reader that it keeps out
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return f"hung in section '{section}'\n\n{file.read()}"
