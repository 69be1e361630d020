"""Any source of images and text into one prepared dataset: in parallel, resumable after a kill, always the same bytes.

Three steps, each made of pieces that are written under another name and renamed when whole:
*parts* (one a unit of the source: every image decoded, good ones packed, bad ones noted), *shards* (the records of all parts
in order, evenly divided) and the *manifest*, which makes the dataset complete. A killed run continues with the missing pieces.
"""

import collections
import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ugf_jax.data import assemble, index, stores
from ugf_jax.data.parts import Part, PartWriter, PrepareSettings, read_part, too_bad
from ugf_jax.data.recount import recount, remove_strays
from ugf_jax.data.shards import text_identity, write_text
from ugf_jax.data.sources.base import Source, Unit, first_units
from ugf_jax.data.sources.fields import plain
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.workers import run_all
from ugf_jax.errors import InputError
from ugf_jax.progress import Progress

WORK_NAME = ".work"
REQUEST_NAME = "request.json"
ENOUGH_IMAGES = 200  # before a rate of damaged images means something
Runner = Callable[..., Iterator[Any]]  # of the form of `workers.run_all`


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A finished dataset: its manifest, whether it was finished before, and the examples and seconds of this run."""

    manifest: dict[str, Any]
    was_complete: bool
    examples: int = 0
    seconds: float = 0.0


def prepare(
    source: Source,
    folder: pathlib.Path,
    settings: PrepareSettings,
    workers: int = 1,
    transform: assemble.Transform | None = None,
    transform_identity: Any = None,
    label: str = "prepare",
    text_tokenizer: str = "",
    run: Runner = run_all,
) -> Prepared:
    """Prepares a source into `folder`.

    Args:
      source: where examples come from.
      folder: on a disk or in an object store (where nothing keeps two from preparing into it at once); made if missing; a
        finished dataset of the same source and settings is left as it is, but for the token lengths where they are of another
        text tokenizer.
      settings: limits and layout.
      workers: processes; the result does not depend on it. Programs that give more than 1 need `if __name__ == "__main__"`.
      transform: changes records before they are stored, in this process, up to 256 at a time.
      transform_identity: JSON-compatible; tells one transform from another.
      label: shown beside the progress.
      text_tokenizer: a `tokenizer.json` that counts the tokens of texts; "" is the shipped one.
      run: how pieces are written: by processes of this machine, or like `ugf_jax.data.beam_prepare` by others.

    Raises:
      InputError: the source is empty or damaged, too much of it is refused, or the folder holds something else.
      RetryError: a worker died; the same call continues.
    """
    source_identity = plain(source.describe())
    settings_identity = settings.identity() | ({"transform": transform_identity} if transform else {})
    text = TextTokenizer.load(text_tokenizer)
    request = {"source": source_identity, "settings": settings_identity}
    if (folder / index.MANIFEST_NAME).is_file():
        return _complete(folder, request, text, label)
    request["text"] = text_identity(text)
    units = first_units(source, source.units(), settings.limit)
    work = _claim(folder, request)
    started = time.monotonic()
    with _locked(work / "lock", folder):
        done_before, parts = _write_parts(PartWriter(source, settings, work), units, workers, label, run)
        _check_usable(folder, work, parts, label)
        tasks = assemble.plan_shards(parts, settings.shards)
        _write_shards(assemble.ShardWriter(folder, work, transform, text_tokenizer), tasks, workers, label, run)
        manifest = assemble.finish(folder, work, len(tasks), parts, source_identity, settings_identity, request["text"])
    stores.remove(work)
    return Prepared(manifest, False, sum(p.examples for p in parts) - done_before, time.monotonic() - started)


def _complete(folder: pathlib.Path, request: dict[str, Any], text: TextTokenizer, label: str) -> Prepared:
    """A finished dataset of this request: nothing is left to do but to count tokens, where another tokenizer was asked for."""
    dataset = index.open_dataset(folder)
    _check_same(folder, dataset.manifest, request)
    started = time.monotonic()
    with _locked(folder, folder):
        stores.remove(folder / WORK_NAME, ignore_errors=True)
        same = dataset.manifest.get("text") == text_identity(text)
        manifest = dataset.manifest if same else recount(dataset, text, label)
        remove_strays(folder, manifest)
    return Prepared(manifest, same, 0 if same else dataset.num_records, time.monotonic() - started)


def _claim(folder: pathlib.Path, request: dict[str, Any]) -> pathlib.Path:
    """The folder of unfinished work, made new or found from a killed run with the same request."""
    work = folder / WORK_NAME
    if (work / REQUEST_NAME).is_file():
        _check_same(folder, json.loads((work / REQUEST_NAME).read_text(encoding="utf-8")), request)
        return work
    ours = (WORK_NAME, index.QUARANTINE_NAME, "results.json")
    others = sorted(p.name for p in folder.iterdir() if p.name not in ours) if folder.is_dir() else []
    if others:
        raise InputError(f"{folder}: not empty and not a prepared dataset (holds {others[0]}); name another folder")
    work.mkdir(parents=True, exist_ok=True)
    write_text(work / REQUEST_NAME, json.dumps(request, indent=2))
    return work


def _check_same(folder: pathlib.Path, existing: dict[str, Any], request: dict[str, Any]) -> None:
    for group, wanted in request.items():
        was = existing.get(group, {})
        differing = sorted(k for k in was.keys() | wanted.keys() if was.get(k) != wanted.get(k))
        if differing:
            name = differing[0]
            raise InputError(
                f"{folder}: made with {group}.{name} = {was.get(name)!r}, asked for {wanted.get(name)!r}; "
                "name another folder or delete this one"
            )


@contextlib.contextmanager
def _locked(place: pathlib.Path, folder: pathlib.Path) -> Iterator[None]:
    """Holds a lock on `place`, a folder or a file made for it: nobody else prepares into `folder`. A store has no locks."""
    if stores.is_remote(place):
        yield
        return
    descriptor = os.open(place, os.O_RDONLY if place.is_dir() else os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another process is preparing into it; wait for it or name another folder") from error
        yield
    finally:
        os.close(descriptor)


def _write_parts(
    write: PartWriter, units: Sequence[tuple[Unit, int | None]], workers: int, label: str, run: Runner
) -> tuple[int, list[Part]]:
    """Writes the parts that are missing; returns the examples found done, and all parts in order."""
    for left in write.folder.glob(".*.partial"):
        left.unlink(missing_ok=True)
    parts = {n: part for n in range(len(units)) if (part := read_part(write.folder, n)) is not None}
    before = sum(p.examples for p in parts.values())
    missing = [(n, unit, count) for n, (unit, count) in enumerate(units) if n not in parts]
    counts = [unit.count if count is None else count for unit, count in units]
    total = sum(c or 0 for c in counts) if None not in counts else None
    all_bytes = sum(unit.size for unit, _ in units)
    with Progress(label, total, "examples", done=before) as progress:
        if before:
            progress.note(f"{label}: continuing after {before} examples")
        for part in run(write, missing, min(workers, len(missing)), progress.advance):
            parts[part.number] = part
            if total is None and all_bytes:  # tars: how much has been read tells how much there is
                read = sum(units[n][0].size for n in parts)
                progress.total = round(sum(p.examples for p in parts.values()) * all_bytes / max(read, 1))
            _check_rate(parts.values(), progress.total or progress.done, write.settings.quarantine_limit)
    return before, [parts[n] for n in range(len(units))]


def _check_rate(parts: collections.abc.Collection[Part], total_examples: int, limit: float) -> None:
    """Refuses once the damage is over the limit for the whole source, so that it does not matter which part came first."""
    images, damaged = sum(p.images for p in parts), sum(p.damaged for p in parts)
    expected = images * total_examples / max(sum(p.examples for p in parts), 1)
    if images >= ENOUGH_IMAGES and damaged > limit * expected:
        entries = [q for p in parts for q in p.quarantine]
        raise InputError(too_bad(f"{damaged} of {images} images are damaged, over --quarantine_limit={limit:g}", entries))


def _check_usable(folder: pathlib.Path, work: pathlib.Path, parts: Sequence[Part], label: str) -> None:
    if any(part.keys for part in parts):
        return
    counts = assemble.write_quarantine(folder, parts)["reasons"]
    first = next((q for part in parts for q in part.quarantine), None)
    stores.remove(work)
    if first is None:
        raise InputError(f"{label}: no examples in the source")
    reasons = ", ".join(f"{n} {reason}" for reason, n in counts.items())
    raise InputError(
        f"{label}: no usable image ({reasons}); the first is {first['key']}: {first['reason']} ({first['detail']})"
    )


def _write_shards(
    write: assemble.ShardWriter, tasks: Sequence[assemble.ShardTask], workers: int, label: str, run: Runner
) -> None:
    for left in write.folder.glob(".*.partial"):  # of a killed run; the lock says that nobody writes them now
        left.unlink(missing_ok=True)
    finished = assemble.finished_shards(write.work, len(tasks))
    missing = [task for task in tasks if task.number not in finished]
    sizes = {task.number: sum(end - first for _, first, end in task.pieces) for task in tasks}
    total = sum(sizes.values())
    workers = 1 if write.transform else min(workers, len(missing))
    with Progress(f"{label}: shards", total, "records", done=total - sum(sizes[t.number] for t in missing)) as progress:
        for _ in run(write, missing, workers, progress.advance):
            pass
