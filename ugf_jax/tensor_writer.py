"""Safetensors files written piece by piece: a tensor may be larger than memory, and a model larger than one file."""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Self

import numpy as np

from ugf_jax.errors import InputError
from ugf_jax.json_files import write_json
from ugf_jax.tensor_files import DTYPES, INDEX

SHARD = 4 * 10**9  # bytes
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

Kinds = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]


class TensorWriter:
    """Writes the tensors of a model in a given order.

        with TensorWriter(folder, "model", {"w": (np.dtype(np.float32), (3, 4))}) as writer:
            writer.write("w", [rows, more_rows])

    Args:
      folder: exists.
      stem: `model` gives `model.safetensors`, or `model-00001-of-00002.safetensors` … and `model.safetensors.index.json`.
      kinds: dtype and shape of every tensor, in the order in which they will be written.
      shard: bytes of a file, if its tensors are not larger.
    """

    def __init__(self, folder: pathlib.Path, stem: str, kinds: Kinds, shard: int = SHARD):
        self._folder, self._stem, self._kinds = folder, stem, kinds
        self._shards = _shards(kinds, shard)
        count = len(self._shards)
        names = [f"{stem}-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
        self._files = [folder / name for name in names] if count > 1 else [folder / f"{stem}.safetensors"]
        self._next = [(number, name) for number, own in enumerate(self._shards) for name in own]
        self._open: tuple[int, BinaryIO] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        self._close()
        if kind is None:
            if self._next:
                raise ValueError(f"{self._next[0][1]} was never written")
            self._write_index()

    def write(self, name: str, pieces: Iterable[np.ndarray]) -> None:
        """The next tensor, in pieces that follow each other along its first axis.

        Raises:
          InputError: it cannot be written, e.g. to a full disk.
        """
        number, expected = self._next.pop(0)
        if name != expected:
            raise ValueError(f"{name} is written; it is the turn of {expected}")
        dtype, shape = self._kinds[name]
        try:
            file = self._file(number)
            left = _size(dtype, shape)
            for piece in pieces:
                if piece.dtype != dtype:
                    raise ValueError(f"{name}: a piece of {piece.dtype}; want {dtype}")
                left -= piece.nbytes
                file.write(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise InputError(f"{self._files[number]}: cannot write ({error.strerror or error}); make space") from error
        if left:
            raise ValueError(f"{name}: {left} bytes are missing")

    def _file(self, number: int) -> BinaryIO:
        """The open file of a shard, behind its header."""
        if self._open is None or self._open[0] != number:
            self._close()
            file = open(self._files[number], "wb")  # noqa: SIM115  it stays open over many calls
            self._open = number, file
            file.write(_header({name: self._kinds[name] for name in self._shards[number]}))
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            file = self._open[1]
            self._open = None
            file.flush()
            os.fsync(file.fileno())
            file.close()

    def _write_index(self) -> None:
        if len(self._files) > 1:
            total = sum(_size(*kind) for kind in self._kinds.values())
            places = {name: file.name for file, own in zip(self._files, self._shards, strict=True) for name in own}
            write_json(self._folder / f"{self._stem}{INDEX}", {"metadata": {"total_size": total}, "weight_map": places})


def _shards(kinds: Kinds, most: int) -> list[list[str]]:
    """Names of tensors, file by file."""
    found: list[list[str]] = [[]]
    size = 0
    for name, kind in kinds.items():
        own = _size(*kind)
        if found[-1] and size + own > most:
            found.append([])
            size = 0
        found[-1].append(name)
        size += own
    return found


def _size(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    return math.prod(shape) * dtype.itemsize


def _header(kinds: Kinds) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # what transformers asks for
    end = 0
    for name, (dtype, shape) in kinds.items():
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [end, end := end + _size(dtype, shape)]}
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    return len(content).to_bytes(8, "little") + content
