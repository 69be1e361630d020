"""How long a run takes from the start of its process to the end of its first step, and with what."""

import os
import time
from collections.abc import Callable

from etils import epath


class StartUp:
    """Seconds by part, in the order in which they pass.

    Attributes:
      parts: what is done so far.
    """

    def __init__(self, age: Callable[[], float] | None = None):
        """Begins now, or where `age`, in seconds, was 0."""
        began = time.monotonic()
        self._age = age or (lambda: time.monotonic() - began)
        self.parts: dict[str, float] = {}

    def done(self, part: str) -> None:
        """All time since the part before was for this one."""
        self.parts[part] = round(self._age() - self.total, 3)

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """`first step after 20.1 s: imports 3.0, data 1.2, …`."""
        return f"first step after {self.total:.1f} s: " + ", ".join(f"{n} {s:.1f}" for n, s in self.parts.items())


def process_age() -> float:
    """Seconds since this process began; since this module was imported where the system does not tell (it is not Linux)."""
    return _LOADED_AT_AGE + time.monotonic() - _LOADED


def _age_by_system() -> float:
    try:
        fields = epath.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # seconds after boot; counted from the field behind the name
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - began, 0.0)
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0


_LOADED, _LOADED_AT_AGE = time.monotonic(), _age_by_system()
