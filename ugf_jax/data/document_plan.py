"""Which documents stand in which row of which global batch: a pure function of lengths, settings, seed and step.

An epoch's draws from all datasets (`mixture.drawn`) are cut into *windows* of a few thousand records. What document a record
becomes follows from its lengths and a key of (seed, dataset, pass, record); then the documents of a window are packed into
a number of rows that is the same in every epoch. So the window that holds a row is known without looking at any other: any
part of any batch is found at once, a host plans only the windows that its rows are in, and memory does not grow with the
number of records. What a window has no room for is the counted remainder, another one every epoch; records that can serve no
task are refused, and counted too.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np

from ugf_jax.data.mixture import drawn, draws_per_epoch
from ugf_jax.data.packing import Layout, choose_layout, pack, rows_needed
from ugf_jax.data.permutation import key, permute
from ugf_jax.data.recipes import Recipe, choose
from ugf_jax.errors import InputError

RECIPE, ROWS = 5, 6  # tell apart the keys made from one seed
WINDOW = 4096  # records, about
LAYOUT_SAMPLE, SAMPLE = 1024, 16384  # records that the layout and the number of rows are estimated from
KEPT_WINDOWS = 8  # an epoch's batches take rows from one window after the other
NO_ROOM, NO_TASK = "no room in its window", "no task that it can serve"  # why a record is in no batch


@dataclasses.dataclass(frozen=True)
class RowShape:
    """What a row has room for; the shape that is compiled.

    Attributes:
      length: tokens.
      auxiliary: positions of auxiliary memory.
      pairs: contrastive pairs.
    """

    length: int
    auxiliary: int
    pairs: int

    def __str__(self) -> str:
        return f"{self.length} tokens, {self.auxiliary} auxiliary positions, {self.pairs} pairs"

    @property
    def budgets(self) -> tuple[int, int, int]:
        """What `sizes` of documents are packed into."""
        return self.length, self.auxiliary, self.pairs


class Planned(NamedTuple):
    """A record and the document, or the pair of documents, that it becomes."""

    dataset: int
    record: int
    recipe: Recipe


class Left(NamedTuple):
    """A record that is in no batch of the epoch; the reason is `NO_ROOM` or `NO_TASK`."""

    dataset: int
    record: int
    reason: str


Row = tuple[Planned, ...]  # in the order in which they stand


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of an epoch: the rows it fills, and what is in none of them."""

    rows: tuple[Row, ...]
    left: tuple[Left, ...]


@dataclasses.dataclass
class _Once:
    """A window that the first thread that wants it plans, while others wait."""

    lock: Lock = dataclasses.field(default_factory=Lock)
    window: Window | None = None


class LengthSource(Protocol):
    """Lengths of the records of a dataset, as `lengths.LengthTable` has them or as another `choose` wants them."""

    def __len__(self) -> int:
        """Number of records."""

    def many(self, records: Iterable[int]) -> Sequence[Any]:
        """Lengths of each of these records."""


class DocumentPlan:
    """The rows of all epochs.

    Attributes:
      draws: int64 `[datasets]`, records that each dataset gives to an epoch.
      batches_per_epoch: global batches; the same for every epoch.
      windows: number of windows of an epoch.
      layout: how documents are packed.
    """

    def __init__(
        self,
        sources: Sequence[LengthSource],
        weights: Sequence[float],
        recipes: Sequence[Any],
        shape: RowShape,
        rows: int,
        seed: int,
        choose: Callable[[Any, Any, Any], Recipe | None] = choose,
    ):
        """Plans without reading any record; looks at the lengths of up to 16,384 of them.

        Args:
          sources: of each dataset, none empty.
          weights: share of each dataset in an epoch; empty: every record once.
          recipes: how records of each dataset become documents, such as `RecipeSettings`; none may be larger than a row.
          shape: what a row has room for.
          rows: of a global batch.
          seed: any integer of at least 0.
          choose: `(lengths, random key, recipes) → recipe`: what a record becomes; pure.

        Raises:
          InputError: no record can serve a task, or there are too few for one batch.
        """
        self.sources, self.recipes, self.shape, self.rows, self.seed = sources, recipes, shape, rows, seed
        self._choose = choose
        self.counts = np.array([len(s) for s in sources], np.int64)
        self.draws = draws_per_epoch(self.counts[:, None], weights)[:, 0]
        self._total = int(self.draws.sum())
        self.layout, needed = self._estimate()
        self.batches_per_epoch = int(needed / rows + 1e-6)
        if not self.batches_per_epoch:
            raise InputError(f"config.data.rows is {rows}; all documents fill {needed:.1f}: want at most {int(needed) or 1}")
        self.windows = max(1, min(round(self._total / WINDOW), self.batches_per_epoch * rows))
        self._cache: OrderedDict[tuple[int, int], _Once] = OrderedDict()
        self._lock = Lock()

    def _estimate(self) -> tuple[Layout, float]:
        """How to pack, and the number of rows for an epoch."""
        sampled = min(self._total, SAMPLE)
        planned, _ = self._planned(0, np.arange(sampled))
        if not planned:
            raise InputError("config.data: no record can serve a task of config.data.recipes within its limits")
        sizes, budgets = _sizes(planned), self.shape.budgets
        layout = choose_layout(sizes[:LAYOUT_SAMPLE], budgets)
        return layout, rows_needed(sizes, budgets) * (1 + layout.gap) * self._total / sampled

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> tuple[int, tuple[Row, ...]]:
        """The epoch, and rows `start` up to `stop` (default: all) of the batch of `step`; steps count through all epochs."""
        epoch, number = divmod(step, self.batches_per_epoch)
        first, end = number * self.rows + start, number * self.rows + (self.rows if stop is None else stop)
        found: list[Row] = []
        while first < end:
            window = ((first + 1) * self.windows - 1) // (self.rows * self.batches_per_epoch)
            begins, ends = self._bounds(window, self.rows * self.batches_per_epoch)
            found += self.window(epoch, window).rows[first - begins : end - begins]
            first = min(end, ends)
        return epoch, tuple(found)

    def window(self, epoch: int, number: int) -> Window:
        """Window `number` of an epoch. Any thread may ask; each window is planned once, and the last few are kept."""
        with self._lock:
            once = self._cache.setdefault((epoch, number), _Once())
            self._cache.move_to_end((epoch, number))
            while len(self._cache) > KEPT_WINDOWS:
                self._cache.popitem(last=False)
        with once.lock:
            if once.window is None:
                once.window = self._window(epoch, number)
            return once.window

    def remainder(self, epoch: int) -> Iterator[Left]:
        """Every draw of the epoch that no batch has. Plans the whole epoch."""
        for number in range(self.windows):
            yield from self._window(epoch, number).left

    def statistics(self, windows: int = 2) -> dict[str, float]:
        """What the first windows are like.

        Returns:
          `documents` and `rows` in them; `fill` and `auxiliary_fill`, the shares used of the tokens and of the auxiliary
          positions of a row; `remainder` and `refused`, shares of the records drawn.
        """
        seen = [self.window(0, number) for number in range(min(windows, self.windows))]
        rows = [row for window in seen for row in window.rows]
        planned = [item for row in rows for item in row]
        sizes = _sizes(planned)
        reasons = [left.reason for window in seen for left in window.left]
        fill, auxiliary, _ = (sizes.sum(axis=0) / (np.maximum(self.shape.budgets, 1) * len(rows))).tolist()
        return {
            "documents": float(sum(item.recipe.documents for item in planned)),
            "rows": float(len(rows)),
            "fill": fill,
            "auxiliary_fill": auxiliary,
            "remainder": reasons.count(NO_ROOM) / (len(sizes) + len(reasons)),
            "refused": reasons.count(NO_TASK) / (len(sizes) + len(reasons)),
        }

    def _bounds(self, number: int, total: int) -> tuple[int, int]:
        """The part of `total` rows or draws that belongs to window `number`."""
        return total * number // self.windows, total * (number + 1) // self.windows

    def _planned(self, epoch: int, positions: np.ndarray) -> tuple[list[Planned], list[Left]]:
        """What becomes of the draws at some positions of an epoch, in that order."""
        datasets, records, passes = drawn(positions, self.draws, self.counts, self.seed, epoch)
        keys = key(self.seed, RECIPE, datasets, passes, records)
        recipes: list[Recipe | None] = [None] * len(positions)
        for dataset in np.unique(datasets).tolist():
            own = np.flatnonzero(datasets == dataset)
            for place, lengths in zip(own.tolist(), self.sources[dataset].many(records[own]), strict=True):
                recipes[place] = self._choose(lengths, keys[place], self.recipes[dataset])
        planned, left = [], []
        for dataset, record, recipe in zip(datasets.tolist(), records.tolist(), recipes, strict=True):
            if recipe is None:
                left.append(Left(dataset, record, NO_TASK))
            else:
                planned.append(Planned(dataset, record, recipe))
        return planned, left

    def _window(self, epoch: int, number: int) -> Window:
        planned, left = self._planned(epoch, np.arange(*self._bounds(number, self._total)))
        first, end = self._bounds(number, self.rows * self.batches_per_epoch)
        placed = pack(_sizes(planned), self.shape.budgets, end - first, self.layout)
        # Packing puts the largest documents into the first rows; in that order, batches would differ in kind.
        order = permute(np.arange(end - first), end - first, key(self.seed, ROWS, epoch, number))
        rows: list[list[Planned]] = [[] for _ in range(end - first)]
        for item, row in zip(planned, placed.tolist(), strict=True):
            if row >= 0:
                rows[order[row]].append(item)
            else:
                left.append(Left(item.dataset, item.record, NO_ROOM))
        return Window(tuple(map(tuple, rows)), tuple(left))


def _sizes(planned: Sequence[Planned]) -> np.ndarray:
    """Int64 `[n, 3]`: what each takes of the budgets of a row."""
    return np.array([p.recipe.sizes for p in planned], np.int64).reshape(-1, 3)
