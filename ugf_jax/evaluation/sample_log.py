"""One line an item, written as the evaluation goes, so that a killed evaluation continues where it was."""

import json
from typing import Any

from etils import epath

from ugf_jax.json_files import JsonLines


class SampleLog:
    """A file of samples whose first line says what was evaluated; a log of anything else is put aside.

    Attributes:
      samples: what is known so far, by row of the dataset.
      replaced: the header of a log that was put aside as `samples.jsonl.old`, or None.
    """

    def __init__(self, path: epath.Path, header: dict[str, Any]):
        self.lines = JsonLines(path)
        self.lines.keep(lambda entry: "row" in entry or "header" in entry)  # drops a line that a kill cut short
        entries = self.lines.read()
        self.replaced: dict[str, Any] | None = None
        header = _as_read(header)
        if path.exists() and (not entries or entries[0].get("header") != header):
            self.replaced = entries[0].get("header", {}) if entries else {}
            path.replace(path.parent / f"{path.name}.old")
            entries = []
        if not entries:
            self.lines.append({"header": header})
        self.samples = {entry["row"]: entry for entry in entries[1:]}

    def append(self, samples: list[dict[str, Any]]) -> None:
        """Adds finished items; one that is there already is not written again.

        Raises:
          InputError: the file cannot be written, e.g. on a full disk.
        """
        for sample in samples:
            if sample["row"] not in self.samples:
                self.lines.append(sample)
                self.samples[sample["row"]] = _as_read(sample)


def _as_read(values: dict[str, Any]) -> dict[str, Any]:
    """The values as they are read back, so that an evaluation never killed holds the same."""
    return json.loads(json.dumps(values))
