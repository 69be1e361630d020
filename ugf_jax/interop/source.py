"""Weights of another project, read one tensor at a time from however many files hold them.

A source is a folder in the layout of Hugging Face (`config.json`, and `model.safetensors` or shards with an index), or one
file. Nothing is kept in memory but the names and shapes.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ugf_jax.errors import InputError
from ugf_jax.tensor_files import read_folder, read_header, read_json

CONFIG = "config.json"
_PICKLED = (".bin", ".ckpt", ".pth", ".pt")


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
    tensors: dict[str, Stored] = dict(read_folder(path))
    if not tensors:
        pickled = sorted(p for p in path.iterdir() if p.suffix in _PICKLED and p.is_file())
        if not pickled:
            raise InputError(f"{path}: no weights in it; want model.safetensors, or shards with an index")
        for file in pickled:
            tensors |= _tensors(file)
    return Source(path, _config(path), tensors)


def _config(folder: pathlib.Path) -> dict[str, Any]:
    return read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}


def _tensors(path: pathlib.Path) -> Mapping[str, Stored]:
    if path.suffix in _PICKLED:
        from ugf_jax.interop.pickled import read_pickled

        return read_pickled(path)
    return dict(read_header(path))
