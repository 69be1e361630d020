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
from ugf_jax.data.preferences import renumbered
from ugf_jax.data.records import Record, pack
from ugf_jax.data.shards import write_array_record, write_text
from ugf_jax.data.sources import fields
from ugf_jax.data.sources.base import Example, Source, Unit
from ugf_jax.data.workers import tick
from ugf_jax.errors import InputError

# Refusals by the user's own limits, and of judgements that are whole but no use; all others mean that the data is damaged.
HARMLESS = ("too many pixels", "aspect ratio", "no preference", "equal images", "prompt in another split")
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
      pairs: preferences kept.
      lost_pairs: preferences that went with a refused image.
    """

    number: int
    examples: int = 0
    images: int = 0
    dropped: int = 0
    size: int = 0
    keys: list[str] = dataclasses.field(default_factory=list)
    quarantine: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    pairs: int = 0
    lost_pairs: int = 0

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

    @property
    def work_folder(self) -> pathlib.Path:
        """Where unfinished work lies."""
        return self.folder

    def result(self, task: tuple[int, Unit, int | None]) -> Part | None:
        """What writing the part gave, None if it is not written."""
        return read_part(self.folder, task[0])

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
            part.pairs += len(record.pairs) if record else 0
            part.lost_pairs += len(example.pairs) - (len(record.pairs) if record else 0)
            if record is None:
                part.dropped += 1
            else:
                data = pack(record)
                part.size += len(data)
                part.keys.append(record.key)
                yield data
            tick()


def _is_damage(entry: dict[str, Any]) -> bool:
    return entry["reason"] not in HARMLESS


def too_bad(what: str, quarantine: list[dict[str, Any]]) -> str:
    """The message that ends a run over damaged data."""
    last = quarantine[-1]
    where = f"{last['key']}: {last['reason']}" + (f" ({last['detail']})" if last["detail"] else "")
    return f"{what}, the last {where}; check the source, or accept it with --quarantine_limit=1"


def to_record(example: Example, settings: PrepareSettings) -> tuple[Record | None, list[dict[str, Any]]]:
    """Checks every image of an example by decoding it.

    Returns:
      the record and the quarantine entries. A record with a refused image is dropped whole, since its text speaks of that
      image; its other images are then refused as `record dropped`. Where images were compared, only the refused ones go, with
      their pairs, and the record is dropped when none is left.
    """
    kept: dict[int, tuple[bytes, int, int]] = {}
    refusals: dict[int, ImageRejected] = {}
    for number, image in enumerate(example.images):
        try:
            if isinstance(image, ImageRejected):
                raise image
            kept[number] = shrink(image, settings.image_limits, settings.max_side)
        except ImageRejected as refusal:
            refusals[number] = refusal
    whole = example.refusal
    if not example.images and not example.captions and not example.turns:
        whole = whole or ImageRejected("bad entry", "neither image nor text")
    if example.pairs and whole is None:
        return _compared(example, kept, refusals)
    if not refusals and whole is None:
        record = _record(example, kept.values())
        try:
            conversation_pieces(record)
            return record, []
        except InputError as error:
            whole = ImageRejected("bad entry", str(error))
    whole = whole or ImageRejected("record dropped", "another image of its record was refused")
    if not example.images:
        return None, [_entry(example, None, whole)]
    return None, [_entry(example, n, refusals.get(n, whole)) for n in range(len(example.images))]


def _compared(
    example: Example, kept: dict[int, tuple[bytes, int, int]], refusals: dict[int, ImageRejected]
) -> tuple[Record | None, list[dict[str, Any]]]:
    """The record of images that were compared with one another, less those that were refused or come twice."""
    first: dict[bytes, int] = {}
    for number, (data, _, _) in kept.items():
        if (same := first.setdefault(data, number)) != number:
            refusals[number] = ImageRejected("equal images", f"the same bytes as image {same}")
    order = [n for n in kept if n not in refusals]
    numbers = {n: order.index(first[kept[n][0]]) for n in kept}
    record = _record(example, [kept[n] for n in order], renumbered(example.pairs, numbers), order)
    if not record.pairs:
        damaged = any(r.reason not in HARMLESS for r in refusals.values())
        whole = ImageRejected("record dropped" if damaged else "no preference", "no pair of its images is left")
        return None, [_entry(example, n, refusals.get(n, whole)) for n in range(len(example.images))]
    return record, [_entry(example, n, refusal) for n, refusal in sorted(refusals.items())]


def _record(
    example: Example,
    kept: Iterable[tuple[bytes, int, int]],
    pairs: tuple[tuple[int, int, float], ...] = (),
    order: Sequence[int] | None = None,
) -> Record:
    """The record of an example with the images that were kept; `order` has their numbers in it where some were not."""
    kept = tuple(kept)
    meta = example.meta
    if order is not None and "images" in meta:
        meta = meta | {"images": [meta["images"][n] for n in order]}
    return Record(
        key=fields.plain(example.key),
        images=tuple(data for data, _, _ in kept),
        sizes=tuple((height, width) for _, height, width in kept),
        captions=example.captions,
        turns=example.turns,
        questions=example.questions,
        scene=example.scene,
        meta=meta,
        pairs=pairs,
    )


def _entry(example: Example, number: int | None, refusal: ImageRejected) -> dict[str, Any]:
    detail = refusal.detail
    if example.pairs and number is not None:  # the record is of many files
        name = example.meta.get("images", [{}] * (number + 1))[number].get("name", "")
        detail = detail if name in detail else f"{name}: {detail}".removesuffix(": ")
    return {"key": fields.plain(example.key), "image": number, "reason": refusal.reason, "detail": detail}


def read_part(folder: pathlib.Path, number: int) -> Part | None:
    """The summary of a part, None where the part is not finished."""
    path = _summary_path(folder, number)
    return Part(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def records_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """The file that holds the packed records of a part."""
    return folder / f"part-{number:08d}.array_record"


def _summary_path(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f"part-{number:08d}.json"
