"""The data that comes with the package: `clipart` (1,500 real drawings) and `shapes:N` (scenes drawn on demand)."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator
from typing import Any

import ugf_jax
from ugf_jax.data.sources import base
from ugf_jax.data.sources.webdataset import TarSource
from ugf_jax.errors import InputError

SPLITS = ("train", "validation", "test")
SHAPES_PER_UNIT = 64
CLIPART = pathlib.Path(ugf_jax.__file__).parent / "assets" / "clipart"


@dataclasses.dataclass(frozen=True)
class ShapesSource(base.Source):
    """The first `count` scenes of a split; scene `i` is the same whatever `count` is."""

    count: int
    split: str

    def describe(self) -> dict[str, Any]:
        """Split and count; the generator is a pure function of the index."""
        return {"kind": "shapes", "split": self.split, "count": self.count, "version": ugf_jax.__version__}

    def units(self) -> list[base.Unit]:
        """Pieces of 64 scenes."""
        pieces = [(i, min(i + SHAPES_PER_UNIT, self.count)) for i in range(0, self.count, SHAPES_PER_UNIT)]
        return [base.Unit(piece, piece[1] - piece[0]) for piece in pieces]

    def examples(self, unit: base.Unit) -> Iterator[base.Example]:
        """The scenes of a piece."""
        from ugf_jax.data.shapes import example

        for number in range(*unit.content):
            record = example(number, split=self.split)
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


def shapes(request: str) -> dict[str, base.Source]:
    """`N` of `shapes:N` to the sources of its splits: N for training, N // 10 (at least 1) for each of the others.

    Raises:
      InputError: N is not a positive whole number.
    """
    if not request.isdecimal() or int(request) < 1:
        raise InputError(f"shapes:{request}: want a number of scenes, such as shapes:10000")
    count = int(request)
    return {split: ShapesSource(count if split == "train" else max(count // 10, 1), split) for split in SPLITS}
