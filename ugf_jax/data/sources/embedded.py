"""The data that comes with the package: `clipart` (1,500 real drawings), and scenes drawn on demand (`shapes:N` and others)."""

import dataclasses
import hashlib
import importlib
import pathlib
from collections.abc import Iterator
from typing import Any

import ugf_jax
from ugf_jax.data.sources import base
from ugf_jax.data.sources.webdataset import TarSource
from ugf_jax.errors import InputError

SPLITS = ("train", "validation", "test")
SCENES_PER_UNIT = 64
# The module within `ugf_jax.data` whose `example` draws each kind.
DRAWN = {"shapes": "shapes", "busy": "shapes.fine.busy"}
DRAWN |= {kind: f"shapes.{kind}" for kind in ("aligned", "crowd", "tinted", "fine", "edits")}
DEFAULT_SIDE, LEAST_SIDE, MOST_SIDE = 256, 40, 4096  # pixels of the longer side
CLIPART = pathlib.Path(ugf_jax.__file__).parent / "assets" / "clipart"


@dataclasses.dataclass(frozen=True)
class DrawnSource(base.Source):
    """The first `count` scenes of a split; scene `i` is the same whatever `count` is. `kind` is one of `DRAWN`."""

    kind: str
    count: int
    split: str
    max_side: int = DEFAULT_SIDE

    def describe(self) -> dict[str, Any]:
        """Split, count and, unless it is the usual one, size; the generator is a pure function of the index."""
        size = {} if self.max_side == DEFAULT_SIDE else {"max_side": self.max_side}
        return {"kind": self.kind, "split": self.split, "count": self.count, "version": ugf_jax.__version__} | size

    def units(self) -> list[base.Unit]:
        """Pieces of 64 scenes."""
        pieces = [(i, min(i + SCENES_PER_UNIT, self.count)) for i in range(0, self.count, SCENES_PER_UNIT)]
        return [base.Unit(piece, piece[1] - piece[0]) for piece in pieces]

    def examples(self, unit: base.Unit) -> Iterator[base.Example]:
        """The scenes of a piece."""
        draw_example = importlib.import_module(f"ugf_jax.data.{DRAWN[self.kind]}").example
        for number in range(*unit.content):
            record = draw_example(number, split=self.split, max_side=self.max_side)
            yield base.Example(
                record.key, record.images, record.captions, record.turns, record.questions, record.scene, dict(record.meta)
            )


@dataclasses.dataclass(frozen=True)
class ClipartSource(TarSource):
    """A split of the embedded drawings; it is the same wherever the package is installed."""

    def describe(self) -> dict[str, Any]:
        """Split and content."""
        with open(self.paths[0], "rb") as file:
            return {"kind": "clipart", "split": self.paths[0].stem, "digest": hashlib.file_digest(file, "sha256").hexdigest()}


def clipart(split: str) -> ClipartSource:
    """A split of the embedded drawings.

    Raises:
      InputError: the package was installed without them.
    """
    path = CLIPART / f"{split}.tar"
    if not path.is_file():
        raise InputError(f"{path}: missing; install the package with its assets")
    return ClipartSource((path,))


def drawn(kind: str, request: str) -> dict[str, base.Source]:
    """Scenes to the sources of their splits: N for training, N // 10 (at least 1) for each of the others.

    Args:
      kind: one of `DRAWN`.
      request: `N`, or `N@SIDE` for pictures whose longer side has that many pixels.

    Raises:
      InputError: N or SIDE is not a positive whole number.
    """
    number, at, side = request.partition("@")
    if not number.isdecimal() or int(number) < 1:
        raise InputError(f"{kind}:{request}: want a number of scenes, such as {kind}:10000")
    if at and (not side.isdecimal() or not LEAST_SIDE <= int(side) <= MOST_SIDE):
        raise InputError(f"{kind}:{request}: want a side of {LEAST_SIDE} to {MOST_SIDE} pixels, such as {kind}:10000@1024")
    count, pixels = int(number), int(side or DEFAULT_SIDE)
    counts = {split: count if split == "train" else max(count // 10, 1) for split in SPLITS}
    return {split: DrawnSource(kind, n, split, pixels) for split, n in counts.items()}
