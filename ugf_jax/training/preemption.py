"""Being asked to stop: SIGTERM from a scheduler, Ctrl-C from a person, on one host of many or the only one."""

import os
import signal
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from ugf_jax.errors import EXIT_RETRY


class Preemption:
    """Notices that the process was asked to stop, so that the loop can save and end between two steps.

    A single process sets a flag in a signal handler. Under `jax.distributed` JAX itself listens for SIGTERM (a handler of
    ours would silence it) and lets all processes agree on the step at which they stop; Ctrl-C is passed on as SIGTERM.
    The second signal ends the process at once, with exit code 75.
    """

    def __init__(self) -> None:
        self.received = 0
        self.distributed = jax.distributed.is_initialized()
        self._before: dict[int, Any] = {}
        signals = (signal.SIGINT,) if self.distributed else (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            self._before[number] = signal.signal(number, self._handle)

    def requested(self, step: int) -> bool:
        """Whether to save `step` and stop. Under `jax.distributed` every process asks at every step and all get the same."""
        if self.distributed:
            return multihost_utils.reached_preemption_sync_point(step)
        return self.received > 0

    def close(self) -> None:
        """Puts the handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received += 1
        if self.received > 1:
            os.write(2, b"stopped at once; the last checkpoint counts\n")
            os._exit(EXIT_RETRY)
        os.write(2, b"asked to stop: saving after this step; once more to stop at once\n")
        if self.distributed:
            os.kill(os.getpid(), signal.SIGTERM)

    def __enter__(self) -> "Preemption":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
