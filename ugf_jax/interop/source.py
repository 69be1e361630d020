"""Weights of another project, read one tensor at a time from however many files hold them.

A source is a folder in the layout of Hugging Face (`config.json`, and `model.safetensors` or shards with an index), or one
file. Nothing is kept in memory but the names and shapes.
"""

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ugf_jax.errors import InputError
from ugf_jax.interop.safetensors_file import Tensor, read_header

CONFIG = "config.json"
_INDEX = ".safetensors.index.json"
_PICKLED = (".bin", ".ckpt", ".pth", ".pt")
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.safetensors")


class Stored(Protocol):
    """A tensor that can be read when it is wanted."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its axes."""

    def read(self) -> np.ndarray:
        """Its values."""


class Source:
    """Named tensors in files.

    Attributes:
      path: folder or file, as it was given.
      config: content of `config.json`; empty where there is none.
    """

    def __init__(self, path: pathlib.Path, config: dict[str, Any], tensors: Mapping[str, Stored]):
        """Use `open_source`."""
        self.path, self.config = path, config
        self._tensors = dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def names(self) -> list[str]:
        """Names of all tensors, in the order of the files."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor.

        Raises:
          InputError: there is none of this name.
        """
        return self._tensor(name).shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of a tensor as it is stored; bfloat16 and float8 are those of `ml_dtypes`.

        Raises:
          InputError: there is none of this name.
        """
        return self._tensor(name).dtype

    def read(self, name: str) -> np.ndarray:
        """Values of a tensor, in its own type.

        Raises:
          InputError: there is none of this name, or its file has changed.
        """
        return self._tensor(name).read()

    def _tensor(self, name: str) -> Stored:
        if name not in self._tensors:
            raise InputError(f"{self.path}: {name} is missing")
        return self._tensors[name]


def open_source(path: str | os.PathLike[str]) -> Source:
    """The tensors of a folder or a file; their values are read later.

    Raises:
      InputError: there are none, or a file is damaged; the message names it.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return Source(path, _config(path.parent), _tensors(path))
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    tensors: dict[str, Stored] = {}
    for file, wanted in _files(path).items():
        found = _tensors(file)
        for name in wanted:
            if name not in found:
                raise InputError(f"{file}: {name} is missing; the index says that it is there")
        for name in found:
            if name in tensors:
                raise InputError(f"{file}: {name} is in another file too")
        tensors |= found
    return Source(path, _config(path), tensors)


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


def _config(folder: pathlib.Path) -> dict[str, Any]:
    return read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}


def _files(folder: pathlib.Path) -> dict[pathlib.Path, list[str]]:
    """The files of a folder, each with the tensors that the index expects in it."""
    indices = sorted(p for p in folder.iterdir() if p.name.endswith(_INDEX))
    if indices:
        return _indexed(indices[0])
    found = sorted(folder.glob("*.safetensors"))
    if len(found) > 1:
        _check_shards(folder, found)
    if found:
        return {path: [] for path in found}
    pickled = sorted(p for p in folder.iterdir() if p.suffix in _PICKLED and p.is_file())
    if not pickled:
        raise InputError(f"{folder}: no weights in it; want model.safetensors, or shards with an index")
    return {path: [] for path in pickled}


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


def _tensors(path: pathlib.Path) -> Mapping[str, Stored]:
    if path.suffix in _PICKLED:
        from ugf_jax.interop.pickled import read_pickled

        return read_pickled(path)
    found: Mapping[str, Tensor] = read_header(path)
    return found
