"""Where a stage's batches come from. The trainer knows batches only as named arrays of one of a few fixed shapes."""

import dataclasses
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

Spec = tuple[tuple[int, ...], Any]  # global shape and dtype of one array


class HostBatch(Protocol):
    """One host's slice of a global batch: all its arrays have the shapes of `bucket`."""

    @property
    def bucket(self) -> Any:
        """What decides the shapes."""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by name; the first axis is this host's part of the batch."""


class BatchLoader(Protocol):
    """Endless batches that are a pure function of the step.

    Attributes:
      identity: what the batches depend on, JSON-compatible; equal exactly where the batches are.
    """

    identity: dict[str, object]

    @property
    def buckets(self) -> tuple[Hashable, ...]:
        """The shapes that batches have, each one compilation; they print as what users know them by."""

    def specs(self, bucket: Any) -> dict[str, Spec]:
        """The global arrays of a batch of this bucket that go to the devices."""

    def iterate(self, start_step: int = 0) -> Generator[Any, None, None]:
        """Yields this host's slices from `start_step` on."""

    def summary(self) -> str:
        """One line for the log."""


@dataclasses.dataclass(frozen=True)
class DataSource:
    """The data of a run.

    Attributes:
      open: `(process index, process count) → loader` of the training data.
      held_out: `(process index, process count) → batches` to evaluate on while training, the same every time; each has all
        the arrays that `Stage.evaluate` reads.
      count: this host's arrays of a batch → how many things of each kind they hold, e.g. `{"images": 8}`; rates are shown.
    """

    open: Callable[[int, int], BatchLoader]
    held_out: Callable[[int, int], Iterable[HostBatch]]
    count: Callable[[Mapping[str, np.ndarray]], dict[str, int]]
