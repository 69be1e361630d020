"""How long a run needs to stop in order, from what a run of the same model and file system has shown."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from etils import epath

from ugf_jax.errors import InputError
from ugf_jax.json_files import JsonLines

UNMEASURED = 600  # seconds
SLACK = 30.0  # seconds to notice the signal and to end
IN_ORDER = ("done", "preempted")  # ends that waited for the last save; one that hung, say, measures its own limit


@dataclasses.dataclass(frozen=True)
class Measured:
    """The slowest of each, seconds: copying a state off the devices, writing it, one evaluation, one step."""

    save: float
    write: float
    evaluation: float
    step: float

    def grace(self) -> int:
        """Seconds from the signal to the last byte, rounded up to ten.

        The signal may come at the worst moment, so an evaluation ends first, and hosts agree on a step to stop at. Saving is
        doubled: a slice that is taken away often is not the only one that writes.
        """
        return math.ceil((SLACK + 2 * (self.save + self.write) + self.evaluation + 5 * self.step) / 10) * 10


def measure(lines: Sequence[dict[str, Any]]) -> Measured | None:
    """What the lines of `runs.jsonl` tell of all processes of a run; None before the first save.

    A save shows as a mark with more seconds in `checkpoint` than the record before. What a run that ends still waits for
    after its last save is the writing.
    """
    save = write = evaluation = step = 0.0
    before: dict[str, Any] = {}
    for line in lines:
        if line.get("event") == "start":
            before = line | {"seconds": {}}
        elif "seconds" in line and before and line.get("cause", "done") in IN_ORDER:
            spent = {name: seconds - before["seconds"].get(name, 0.0) for name, seconds in line["seconds"].items()}
            steps = line["step"] - before["step"]
            evaluation = max(evaluation, spent.get("evaluation", 0.0))
            step = max(step, spent.get("step", 0.0) / steps if steps > 0 else 0.0)
            if line["event"] == "stop" and not steps:
                write = max(write, line["time"] - before["time"])
            else:
                save = max(save, spent.get("checkpoint", 0.0))
            before = line
    return Measured(save, max(write, save), evaluation, step) if save else None


def from_run(workdir: str) -> tuple[int, str]:
    """The grace period that a run's `runs.jsonl` asks for, in seconds, and how it came about.

    Raises:
      InputError: the folder has no such file, or nothing was saved yet.
    """
    path = epath.Path(workdir) / "runs.jsonl"
    found = measure(JsonLines(path).read())
    if found is None:
        raise InputError(f"--grace_from: {path} tells of no save; name the workdir of a run that has saved, or give --grace")
    how = (
        f"from {path}: save {found.save:.1f} s, write {found.write:.1f} s, evaluation {found.evaluation:.1f} s, "
        f"step {found.step:.2g} s"
    )
    return found.grace(), how
