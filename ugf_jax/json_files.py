"""JSON files that survive a kill: one that is replaced whole, and one that grows by lines."""

import json
import math
from collections.abc import Callable
from typing import Any

from etils import epath

from ugf_jax.errors import InputError


def write_json(path: epath.PathLike, values: Any) -> None:
    """Writes `values` as indented JSON, whole or not at all."""
    _replace(epath.Path(path), json.dumps(values, indent=2, allow_nan=False) + "\n")


class JsonLines:
    """A file with one JSON object a line. A line that a kill cut short is not part of it.

    Object stores cannot append: there the file is written anew for each line.
    """

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path)
        self._remote = "://" in str(path)

    def read(self) -> list[dict[str, Any]]:
        """The objects, in order."""
        if not self.path.exists():
            return []
        objects = []
        for line in self.path.read_bytes().decode(errors="replace").splitlines():
            try:
                parsed = json.loads(line)
            except ValueError:
                continue
            if isinstance(parsed, dict):
                objects.append(parsed)
        return objects

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drops the lines that are not `wanted`, and broken ones; the file is replaced whole."""
        if self.path.exists():
            self._guard(lambda: _replace(self.path, "".join(_line(o) for o in self.read() if wanted(o))))

    def append(self, values: dict[str, Any]) -> None:
        """Adds a line.

        Raises:
          InputError: it could not be written, e.g. to a full disk.
        """
        self._guard(lambda: self._append(_line(values)))

    def _append(self, line: str) -> None:
        if self._remote:
            before = self.path.read_text() if self.path.exists() else ""
            self.path.write_text(before + line)
            return
        with open(self.path, "ab+") as file:
            if file.tell() and (file.seek(-1, 2), file.read(1))[1] != b"\n":
                file.write(b"\n")  # the line before was cut short
            file.write(line.encode())

    def _guard(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot write ({error.strerror or error}); make space or choose another folder"
            ) from error


def finite(value: float) -> float | None:
    """The number to 7 digits (all that float32 has), or None where JSON has no word for it (nan, inf)."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, allow_nan=False, ensure_ascii=False) + "\n"


def _replace(path: epath.Path, text: str) -> None:
    partial = path.parent / f".{path.name}.partial"
    partial.write_text(text)
    partial.replace(path)
