"""WebDataset tar shards: files `KEY.jpg`, `KEY.txt`, `KEY.json`, `KEY.cls` that follow one another make an example.

Members are streamed, never extracted, and their size and number is capped.
"""

import dataclasses
import itertools
import json
import pathlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any, Self

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.sources import base, fields
from ugf_jax.errors import InputError

MAX_MEMBERS = 10_000_000  # of a tar
MAX_MEMBERS_OF_EXAMPLE = 256
MAX_TEXT_BYTES = 64 * 2**20
TEXT_SUFFIXES = (".txt", ".text", ".caption", ".json", ".cls")
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")

_Member = tuple[str, bytes | ImageRejected]  # ending, content


@dataclasses.dataclass(frozen=True)
class TarSource(base.Source):
    """Tar files, each a piece of work. Key: the path in the tar up to the first dot of the file name."""

    paths: tuple[pathlib.Path, ...]

    def describe(self) -> dict[str, Any]:
        """Names, sizes and times of the tar files."""
        found = base.digest(base.file_identity(p.resolve()) for p in self.paths)
        return {"kind": "webdataset", "paths": _short(self.paths), "files": len(self.paths), "digest": found}

    def units(self) -> list[base.Unit]:
        """One piece a tar."""
        try:
            return [base.Unit(path, None, path.stat().st_size) for path in self.paths]
        except OSError as error:
            raise InputError(f"{error.filename}: {error.strerror}") from error

    def examples(self, unit: base.Unit) -> Iterator[base.Example]:
        """The examples of one tar, in order."""
        path: pathlib.Path = unit.content
        try:
            for key, members in itertools.groupby(_members(path), key=lambda m: m[0]):
                example = _example(key, [m[1:] for m in itertools.islice(members, MAX_MEMBERS_OF_EXAMPLE)])
                if example.images or example.refusal:
                    yield example
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise InputError(f"{path}: damaged tar ({error}); fetch it again") from error


class _StrictInfo(tarfile.TarInfo):
    """Headers of an archive that ends with its marker only: tarfile would take a cut or a damaged header for the end too."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, where a file or the end should be") from error


def _short(paths: tuple[pathlib.Path, ...]) -> list[str]:
    shown = [str(p.resolve()) for p in paths]
    return shown if len(shown) <= 4 else [*shown[:3], "…", shown[-1]]


def _members(path: pathlib.Path) -> Iterator[tuple[str, str, bytes | ImageRejected]]:
    """Yields `(key, ending, content)` of every file that matters."""
    with tarfile.open(path, "r|*", tarinfo=_StrictInfo) as tar:
        for number, member in enumerate(tar):
            if number >= MAX_MEMBERS:
                raise InputError(f"{path}: over {MAX_MEMBERS} files; split it")
            # A tar keeps every header it has seen; a stream of millions of members must not.
            tar.members.clear()  # type: ignore[attr-defined]
            named = _NAME.fullmatch(member.name)
            if not named or member.isdir():
                continue
            key, ending = named[1].removeprefix("./"), "." + named[2].lower()
            is_image = ending.endswith(base.IMAGE_SUFFIXES)
            if not is_image and not ending.endswith(TEXT_SUFFIXES):
                continue
            limit = base.MAX_FILE_BYTES if is_image else MAX_TEXT_BYTES
            file = tar.extractfile(member) if member.isreg() and member.size <= limit else None
            if file:
                content = file.read()
                if len(content) < member.size:
                    raise tarfile.ReadError(f"{member.name} is cut short")
                yield key, ending, content
            elif member.isreg():
                yield key, ending, ImageRejected("file too large", f"{member.name}: {member.size} bytes is over {limit}")
            else:
                yield key, ending, ImageRejected("unreadable file", f"{member.name}: a link or device, not a file")


def _example(key: str, members: list[_Member]) -> base.Example:
    images = tuple(content for ending, content in members if ending.endswith(base.IMAGE_SUFFIXES))
    said: dict[str, Any] = {}
    try:
        for ending, content in members:
            if not ending.endswith(base.IMAGE_SUFFIXES):
                said = _joined(said, _text_fields(ending, content))
        return base.Example(key, images, **fields.split_fields(fields.without_keys(said, key)))
    except ImageRejected as refusal:
        return base.Example(key, images, refusal=refusal)


def _text_fields(ending: str, content: bytes | ImageRejected) -> dict[str, Any]:
    if isinstance(content, ImageRejected):
        raise content
    text = content.decode("utf-8-sig", "replace")
    if ending.endswith(".cls"):
        return {"label": int(text) if re.fullmatch(r"\s*-?[0-9]{1,18}\s*", text) else text.strip()}
    if not ending.endswith(".json"):
        return {"txt": [text]}
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImageRejected("bad entry", f"{ending}: not JSON ({error})") from error
    return entry if isinstance(entry, dict) else {"captions": entry}


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Fields of both members; texts of `.txt` members are all kept."""
    if "txt" in first and "txt" in second:
        second = {**second, "txt": [first["txt"], second["txt"]]}
    return first | second
