"""One line an item, written as the evaluation goes, so that a killed evaluation continues where it was."""

import json
import os
from typing import Any

from etils import epath


class SampleLog:
    """An append-only JSONL file whose first line says what was evaluated; a log of anything else is put aside.

    Attributes:
      samples: what is known so far, by row of the dataset.
      replaced: the header of a log that was put aside as `samples.jsonl.old`, or None.
    """

    def __init__(self, path: epath.Path, header: dict[str, Any]):
        self.path, self.header = path, json.loads(json.dumps(header))
        self.samples: dict[int, dict[str, Any]] = {}
        self.replaced: dict[str, Any] | None = None
        if path.exists():
            self._read()
        if not path.exists():
            self._write(json.dumps({"header": self.header}) + "\n")

    def append(self, samples: list[dict[str, Any]]) -> None:
        """Adds finished items; they are on disk when this returns. An item that is there already is not written again."""
        new = [s for s in samples if s["row"] not in self.samples]
        if new:
            self._write("".join(json.dumps(s, allow_nan=False) + "\n" for s in new))
        # What is read back after a kill and what is kept in memory must be the same numbers.
        self.samples |= {s["row"]: json.loads(json.dumps(s)) for s in new}

    def _read(self) -> None:
        good = 0
        entries: list[dict[str, Any]] = []
        for line in self.path.read_bytes().splitlines(keepends=True):
            entry = _entry(line)
            if entry is None:
                break  # the line that was being written when the process was killed
            entries.append(entry)
            good += len(line)
        header = entries[0].get("header") if entries else None
        if header != self.header:
            self.replaced = header or {}
            self.path.replace(self.path.parent / f"{self.path.name}.old")
            return
        if good < self.path.stat().length:
            os.truncate(self.path, good)
        self.samples = {entry["row"]: entry for entry in entries[1:]}

    def _write(self, text: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def _entry(line: bytes) -> dict[str, Any] | None:
    """The object in a whole line, or None."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"row", "header"} & entry.keys() else None
