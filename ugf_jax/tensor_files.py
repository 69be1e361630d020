"""Safetensors files, read tensor by tensor and trusted in nothing: a header is checked before any of its numbers is used.

A model is one file, or shards and an index `{"weight_map": {tensor: file}}` (Hugging Face). A file is

8 bytes     length of the header, little endian
header      JSON {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__": {…}}
data        the tensors, row-major, without gaps
"""

import dataclasses
import json
import math
import pathlib
import re
from typing import Any

import ml_dtypes
import numpy as np

from ugf_jax.errors import InputError

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
WHOLE, INDEX = "model.safetensors", ".safetensors.index.json"
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.safetensors")
MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors library
MAX_AXES = 8


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: its type, shape, and first byte in the file."""

    file: pathlib.Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, index: tuple[slice, ...] | None = None) -> np.ndarray:
        """Its values or a part of them, in an array of their own.

        Raises:
          InputError: the file has become shorter.
        """
        if index is not None and self.nbytes:
            kept = np.memmap(self.file, np.uint8, "r", self.begin, (self.nbytes,))
            return np.array(kept.view(self.dtype).reshape(self.shape)[index])
        with open(self.file, "rb") as file:
            file.seek(self.begin)
            values = np.fromfile(file, self.dtype, math.prod(self.shape))
        if values.size != math.prod(self.shape):
            raise InputError(f"{self.file}: ends within a tensor; copy the file again")
        return values.reshape(self.shape)


def read_header(path: pathlib.Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
      InputError: the file cannot be read, is cut short, or its header is not one; the message names the file.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > MAX_HEADER or 8 + length > size:
                raise _wrong(path, f"a header of {length} bytes in a file of {size}")
            content = file.read(length)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        header = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"its header is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise _wrong(path, "its header is no JSON object")
    tensors = {name: _tensor(path, name, value, 8 + length) for name, value in header.items() if name != "__metadata__"}
    end = 8 + length
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].nbytes)):
        if tensor.begin != end:
            raise _wrong(path, f"{name} begins at byte {tensor.begin}, not where the one before it ends, {end}")
        end += tensor.nbytes
    if size != end:
        state = "cut short" if size < end else "too long"
        raise InputError(f"{path}: {state}: {size} bytes, and its header tells of {end}; copy the file again")
    return tensors


def read_folder(folder: pathlib.Path) -> dict[str, Tensor]:
    """The tensors of all safetensors files of a folder that make up one model; empty where there are none.

    Raises:
      InputError: a file is missing or damaged, or does not hold what the index says.
    """
    found: dict[str, Tensor] = {}
    for file, wanted in _files(folder).items():
        tensors = read_header(file)
        for name in wanted:
            if name not in tensors:
                raise InputError(f"{file}: {name} is missing; the index says that it is there")
        for name in tensors:
            if name in found:
                raise InputError(f"{file}: {name} is in another file too")
        found |= tensors
    return found


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
      InputError: the file cannot be read, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no JSON object")
    return values


def _files(folder: pathlib.Path) -> dict[pathlib.Path, list[str]]:
    """The files of a folder, each with the tensors that the index expects in it."""
    indices = sorted(p for p in folder.iterdir() if p.name.endswith(INDEX))
    if indices:
        return _indexed(indices[0])
    if (folder / WHOLE).is_file():  # others beside it are not of the model
        return {folder / WHOLE: []}
    found = sorted(folder.glob("*.safetensors"))
    if len(found) > 1:
        _check_shards(folder, found)
    return {path: [] for path in found}


def _indexed(index: pathlib.Path) -> dict[pathlib.Path, list[str]]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise InputError(f'{index}: has no "weight_map"')
    files: dict[pathlib.Path, list[str]] = {}
    for name, file in places.items():
        if not isinstance(file, str) or pathlib.PurePath(file).name != file or not file.endswith(".safetensors"):
            raise InputError(f"{index}: {name} is said to be in {file!r}; want the name of a safetensors file beside the index")
        files.setdefault(index.parent / file, []).append(name)
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file; {index.name} names it")
    return dict(sorted(files.items()))


def _check_shards(folder: pathlib.Path, files: list[pathlib.Path]) -> None:
    """Refuses files that are not the shards of one model."""
    matches = [_SHARD.fullmatch(path.name) for path in files]
    kinds = {(m[1], m[3]) for m in matches if m}
    if len(kinds) != 1 or None in matches:
        raise InputError(f"{folder}: {len(files)} safetensors files and no index; name one of them, or add the index")
    ((stem, count),) = kinds
    there = {path.name for path in files}
    for n in range(1, int(count) + 1):
        name = f"{stem}-{n:05d}-of-{count}.safetensors"
        if name not in there:
            raise InputError(f"{folder / name}: no such file; the folder has {len(files)} of {int(count)} shards")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:100]!r} is there twice")
    return found


def _tensor(path: pathlib.Path, name: str, value: Any, data: int) -> Tensor:
    if not isinstance(value, dict) or not isinstance(value.get("dtype"), str):
        raise _wrong(path, f"{name[:100]} has no dtype")
    if value["dtype"] not in DTYPES:
        raise InputError(f"{path}: {name[:100]} is of type {value['dtype'][:20]}; want one of {', '.join(DTYPES)}")
    shape, offsets = _counts(value.get("shape")), _counts(value.get("data_offsets"))
    if shape is None or len(shape) > MAX_AXES:
        raise _wrong(path, f"the shape of {name[:100]} is no list of at most {MAX_AXES} sizes")
    if offsets is None or len(offsets) != 2:
        raise _wrong(path, f"the data_offsets of {name[:100]} are no two places")
    tensor = Tensor(path, DTYPES[value["dtype"]], tuple(shape), data + offsets[0])
    if offsets[1] - offsets[0] != tensor.nbytes:
        raise _wrong(path, f"{name[:100]} takes {offsets[1] - offsets[0]} bytes; its shape wants {tensor.nbytes}")
    return tensor


def _counts(values: Any) -> list[int] | None:
    """The list itself if it holds nothing but sizes that a file may have."""
    return values if isinstance(values, list) and all(type(v) is int and 0 <= v < 2**48 for v in values) else None


def _wrong(path: pathlib.Path, what: str) -> InputError:
    return InputError(f"{path}: not a sound safetensors file: {what}")
