"""One unit of a source turned into a part: packed records in a file, and a summary of what was kept and refused."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ugf_jax.config import FRACTION, NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.data.documents import conversation_pieces
from ugf_jax.data.image import ImageLimits, ImageRejected, shrink
from ugf_jax.data.records import Record, pack
from ugf_jax.data.shards import write_array_record, write_text
from ugf_jax.data.sources import fields
from ugf_jax.data.sources.base import Example, Source, Unit
from ugf_jax.data.workers import tick
from ugf_jax.errors import InputError

# Refusals by the user's own limits; all others mean that something is wrong with the data.
BY_LIMIT = ("too many pixels", "aspect ratio")
BAD_IN_A_ROW = 100


@dataclasses.dataclass(frozen=True)
class PrepareSettings:
    """How a source becomes a dataset."""

    max_side: int = setting(
        0, NOT_NEGATIVE, "resize images whose long side is over this many pixels; 0 keeps all bytes as they are"
    )
    max_pixels: int = setting(ImageLimits.max_pixels, POSITIVE, "refuse images with more pixels (height x width)")
    max_aspect: float = setting(
        ImageLimits.max_aspect, ("at least 1", lambda x: x >= 1), "refuse images longer than this ratio"
    )
    shards: int = setting(0, NOT_NEGATIVE, "number of files; 0 makes one for every 256 MiB")
    limit: int = setting(0, NOT_NEGATIVE, "take only the first examples; 0 takes all")
    quarantine_limit: float = setting(0.1, FRACTION, "stop when more than this part of the images is damaged; 1 never stops")

    @property
    def image_limits(self) -> ImageLimits:
        """What the decoder refuses."""
        return ImageLimits(self.max_pixels, self.max_aspect)

    def identity(self) -> dict[str, Any]:
        """The settings that decide what the dataset holds."""
        content = dataclasses.asdict(self)
        del content["quarantine_limit"]
        return content


@dataclasses.dataclass
class Part:
    """What became of a unit.

    Attributes:
      number: of the unit in the source.
      examples: read from the source.
      images: that entered, kept or refused.
      dropped: examples that became no record.
      size: bytes of the packed records.
      keys: of the records, in order.
      quarantine: `{"key", "image", "reason", "detail"}` for every image refused; `image` is its number in the record, None
        where an example without images was refused.
    """

    number: int
    examples: int = 0
    images: int = 0
    dropped: int = 0
    size: int = 0
    keys: list[str] = dataclasses.field(default_factory=list)
    quarantine: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def damaged(self) -> int:
        """Images refused for what they are rather than by a limit."""
        return sum(map(_is_damage, self.quarantine))


@dataclasses.dataclass(frozen=True)
class PartWriter:
    """Writes the part of a unit into `folder`; picklable, so that it can run in another process."""

    source: Source
    settings: PrepareSettings
    folder: pathlib.Path

    def __call__(self, task: tuple[int, Unit, int | None]) -> Part:
        """Writes unit `task = (number, unit, how many of its examples count)`; the summary comes last and makes it valid.

        Raises:
          InputError: the unit cannot be read, or 100 of its images in a row are damaged.
        """
        number, unit, count = task
        part = Part(number)
        write_array_record(
            records_path(self.folder, number), self._packed(itertools.islice(self.source.examples(unit), count), part)
        )
        write_text(_summary_path(self.folder, number), json.dumps(dataclasses.asdict(part)))
        return part

    def _packed(self, examples: Iterable[Example], part: Part) -> Iterator[bytes]:
        """Packs the records of the examples, and tells `part` about each."""
        streak = 0
        for example in examples:
            record, refused = to_record(example, self.settings)
            part.examples += 1
            part.images += len(example.images)
            part.quarantine += refused
            streak = streak + len(refused) if any(map(_is_damage, refused)) else 0
            if streak >= BAD_IN_A_ROW and self.settings.quarantine_limit < 1:
                raise InputError(too_bad(f"{streak} damaged images in a row", part.quarantine))
            if record is None:
                part.dropped += 1
            else:
                data = pack(record)
                part.size += len(data)
                part.keys.append(record.key)
                yield data
            tick()


def _is_damage(entry: dict[str, Any]) -> bool:
    return entry["reason"] not in BY_LIMIT


def too_bad(what: str, quarantine: list[dict[str, Any]]) -> str:
    """The message that ends a run over damaged data."""
    last = quarantine[-1]
    where = f"{last['key']}: {last['reason']}" + (f" ({last['detail']})" if last["detail"] else "")
    return f"{what}, the last {where}; check the source, or accept it with --quarantine_limit=1"


def to_record(example: Example, settings: PrepareSettings) -> tuple[Record | None, list[dict[str, Any]]]:
    """Checks every image of an example by decoding it.

    Returns:
      the record and the quarantine entries. A record with a refused image is dropped whole, since its text speaks of that
      image; its other images are then refused as `record dropped`.
    """
    kept: list[tuple[bytes, int, int]] = []
    refusals: dict[int, ImageRejected] = {}
    for number, image in enumerate(example.images):
        try:
            if isinstance(image, ImageRejected):
                raise image
            kept.append(shrink(image, settings.image_limits, settings.max_side))
        except ImageRejected as refusal:
            refusals[number] = refusal
    whole = example.refusal
    if not example.images and not example.captions and not example.turns:
        whole = whole or ImageRejected("bad entry", "neither image nor text")
    key = fields.plain(example.key)
    if not refusals and whole is None:
        record = Record(
            key=key,
            images=tuple(data for data, _, _ in kept),
            sizes=tuple((height, width) for _, height, width in kept),
            captions=example.captions,
            turns=example.turns,
            questions=example.questions,
            scene=example.scene,
            meta=example.meta,
        )
        try:
            conversation_pieces(record)
            return record, []
        except InputError as error:
            whole = ImageRejected("bad entry", str(error))
    whole = whole or ImageRejected("record dropped", "another image of its record was refused")
    why = [refusals.get(number, whole) for number in range(len(example.images))] or [whole]
    numbers: Sequence[int | None] = range(len(example.images)) or [None]
    return None, [{"key": key, "image": n, "reason": r.reason, "detail": r.detail} for n, r in zip(numbers, why, strict=True)]


def read_part(folder: pathlib.Path, number: int) -> Part | None:
    """The summary of a part, None where the part is not finished."""
    path = _summary_path(folder, number)
    return Part(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def records_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """The file that holds the packed records of a part."""
    return folder / f"part-{number:08d}.array_record"


def _summary_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f"part-{number:08d}.json"
