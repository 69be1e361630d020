"""Prepared datasets on a disk or in an object store (`gs://`), read and written through the same few functions.

ArrayRecord reads `gs://` by itself. What else a dataset consists of is read here: mapped into memory from a disk, fetched whole
from a store. Whatever is written is written to a disk first and then sent.
"""

import os
import pathlib
import shutil
from typing import cast

import pyarrow as pa
from etils import epath


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is of an object store."""
    return "://" in os.fspath(path)


def as_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path as an object with the methods of `pathlib.Path`; pathlib itself would make `gs:/` of `gs://`."""
    return cast(pathlib.Path, epath.Path(path)) if is_remote(path) else pathlib.Path(path)


def size(path: pathlib.Path) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        if is_remote(path):
            return cast(epath.Path, path).stat().length
        return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:
        return None


def send(file: pathlib.Path, path: pathlib.Path) -> None:
    """Copies a file of the disk to an object store, whole or not at all."""
    try:
        with file.open("rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 2**24)
    except BaseException:
        path.unlink(missing_ok=True)  # what was sent of it became a file when `target` was closed
        raise


def remove(folder: pathlib.Path, ignore_errors: bool = False) -> None:
    """Removes a folder with all that is in it."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=ignore_errors)
    elif folder.exists():
        cast(epath.Path, folder).rmtree()


def read_table(path: pathlib.Path) -> pa.Table:
    """An uncompressed Arrow IPC file."""
    if is_remote(path):
        return pa.ipc.open_file(pa.py_buffer(path.read_bytes())).read_all()
    with pa.memory_map(os.fspath(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()
