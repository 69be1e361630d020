"""A folder of images, with text beside each image or in a `metadata.jsonl`, `captions.jsonl` or `metadata.csv`."""

import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.sources import base, fields
from ugf_jax.errors import InputError

METADATA_NAMES = ("metadata.jsonl", "captions.jsonl", "metadata.csv")
FILE_NAMES = ("file_name", "image", "image_path", "path", "filename", "file")


@dataclasses.dataclass(frozen=True)
class FolderSource(base.Source):
    """Images below `root`, in the order of their paths. Key: the path without its ending, unless two files share that.

    Hidden files and folders are left out; links to files are followed, links to folders are not.
    """

    root: pathlib.Path

    def describe(self) -> dict[str, Any]:
        """Path and a digest of names, sizes and times of all images and texts."""
        images, others = self._listing()
        texts = [f for f in others if f.suffix.lower() in (".txt", ".json") or f.name in METADATA_NAMES]
        found = base.digest(base.file_identity(p) for p in (*images, *texts))
        return {"kind": "folder", "path": str(self.root.resolve()), "files": len(images), "digest": found}

    def units(self) -> list[base.Unit]:
        """Pieces of 128 images."""
        images, others = self._listing()
        beside = {os.fspath(p) for p in others}
        said = self._metadata(others)
        names = [p.relative_to(self.root).as_posix() for p in images]
        missing = sorted(said.keys() - set(names))
        stems = [_stem(n) for n in names]
        shared = {s for s, n in _counts(stems).items() if n > 1}
        entries: list[tuple[str, str, bool, list[str], dict[str, Any] | None]] = []
        for name, stem in zip(names + missing, stems + [_stem(m) for m in missing], strict=True):
            texts = [e for e in (".txt", ".json") if os.fspath(self.root / (stem + e)) in beside]
            listed = len(entries) < len(names)
            entries.append((name if stem in shared else stem, name, listed, texts, said.get(name)))
        if not entries:
            raise InputError(f"{self.root}: no images; looked for {', '.join(base.IMAGE_SUFFIXES)} in it and in its folders")
        step = base.EXAMPLES_PER_UNIT
        return [base.Unit(entries[i : i + step], len(entries[i : i + step])) for i in range(0, len(entries), step)]

    def examples(self, unit: base.Unit) -> Iterator[base.Example]:
        """The images of a piece with their texts."""
        for key, name, listed, texts, said in unit.content:
            # The user made the folder, links in it included; a metadata file came with it and may name anything.
            image = base.read_image(self.root / name) if listed else base.read_image_inside(self.root, name)
            try:
                known = fields.split_fields(_beside(self.root / _stem(name), texts) | (said or {}))
                yield base.Example(key, (image,), **known)
            except ImageRejected as refusal:
                yield base.Example(key, (image,), refusal=refusal)

    def _listing(self) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
        """Images and other files, sorted by path."""
        images: list[pathlib.Path] = []
        others: list[pathlib.Path] = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in files:
                if not name.startswith("."):
                    kind = images if name.lower().endswith(base.IMAGE_SUFFIXES) else others
                    kind.append(pathlib.Path(folder, name))
        return sorted(images), sorted(others)

    def _metadata(self, others: list[pathlib.Path]) -> dict[str, dict[str, Any]]:
        """What metadata files say about each image, by path relative to the root; several lines on an image are joined."""
        said: dict[str, dict[str, Any]] = {}
        for path in others:
            if path.name not in METADATA_NAMES:
                continue
            for number, line in _lines(path):
                name = next((line[n] for n in FILE_NAMES if isinstance(line.get(n), str)), None)
                if name is None:
                    raise InputError(f"{path} line {number}: names no image; want one of {', '.join(FILE_NAMES)}")
                rest = {k: v for k, v in line.items() if v != name or k not in FILE_NAMES}
                where = os.path.normpath(path.parent.relative_to(self.root) / name).replace(os.sep, "/")
                said[where] = _joined(said[where], rest) if where in said else rest
        return said


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _counts(items: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return counts


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two lines on one image: captions of both, other fields of the first."""
    both = second | first
    for name in fields.CAPTION_NAMES:
        if name in first and name in second:
            both[name] = [first[name], second[name]]
    return both


def _lines(path: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
    text = base.read_text(path)
    if path.suffix == ".csv":
        yield from enumerate(csv.DictReader(io.StringIO(text)), start=2)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path} line {number}: not JSON ({error})") from error
            if not isinstance(entry, dict):
                raise InputError(f'{path} line {number}: want an object such as {{"file_name": …, "caption": …}}')
            yield number, entry


def _beside(stem: pathlib.Path, endings: list[str]) -> dict[str, Any]:
    """What `NAME.txt` (one caption) and `NAME.json` say.

    Raises:
      ImageRejected: one of them cannot be read.
    """
    said: dict[str, Any] = {}
    for ending in endings:
        path = pathlib.Path(f"{stem}{ending}")
        try:
            text = path.read_bytes().decode("utf-8-sig", "replace")
            if ending == ".txt":
                said["txt"] = text
            else:
                entry = json.loads(text)
                said |= entry if isinstance(entry, dict) else {"captions": entry}
        except (OSError, ValueError, RecursionError) as error:
            raise ImageRejected("bad entry", f"{path}: {error}") from error
    return said
