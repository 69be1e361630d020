"""Pre-tokenised records: what UniToken trains on, so that training encodes no image.

One JSON object a line, with the keys of the original's records (which are pickles, and not read here):

    {"token": [0, 8197, …], "label": [-100, …], "raw_image": ["cat.png"], "id": 7}

`label` is the token where it is trained on, -100 elsewhere; `raw_image` is what the vision tower sees, one for each image of
the sequence or none. Paths are relative to an image root and stay inside it.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from ugf_jax.data.documents import NOTHING, Document
from ugf_jax.data.image import ImageRejected, decode
from ugf_jax.data.sources.base import read_image_inside
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.layout import UniTokenLayout
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError

IGNORED = -100
WANTED = 'want {"token": […], "label": […], "raw_image": […]}'


class TokenRecords:
    """Random access to a file of records; reading is safe from many threads.

    Attributes:
      path: the file.
      image_root: where its images are.
      digest: SHA-256 of the file.
    """

    def __init__(self, path: str | os.PathLike[str], image_root: str | os.PathLike[str] = ""):
        """Finds the lines.

        Raises:
          InputError: the file cannot be read or holds no record.
        """
        self.path = pathlib.Path(path)
        self.image_root = pathlib.Path(image_root) if str(image_root) else self.path.parent
        total, starts, end = hashlib.sha256(), [], 0
        try:
            with open(self.path, "rb") as file:
                for line in file:
                    total.update(line)
                    if line.strip():
                        starts.append(end)
                    end += len(line)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error}); want lines of {WANTED}") from error
        if not starts:
            raise InputError(f"{self.path}: no records; {WANTED} on each line")
        self.digest, self._starts = total.hexdigest(), np.array(starts, np.int64)

    def __len__(self) -> int:
        return len(self._starts)

    def document(self, number: int, words: UniTokenVocabulary, vision: AnyResSettings | None) -> Document:
        """A record as a document, with features where the vision tower sees its images.

        Raises:
          InputError: a record that is none, or an image that cannot be read.
        """
        where = f"{self.path}: record {number}"
        tokens, labels, names = self._read(number, where)
        images = tokens.count(words.eoi)
        if names and len(names) != images:
            raise InputError(f"{where}: {len(names)} raw_image for {images} images in its tokens; want one for each, or none")
        if tokens and not 0 <= min(tokens) <= max(tokens) < words.total:
            raise InputError(f"{where}: tokens from {min(tokens)} to {max(tokens)}; want them from 0 to {words.total - 1}")
        seen = names if vision else []
        regions: list[np.ndarray | None] = [self._region(name, where) for name in seen]
        layout = UniTokenLayout(words, vision)
        layout.pieces(tokens, [label != IGNORED for label in labels], regions or [None] * images)
        return layout.document("pre-tokenised")

    def _read(self, number: int, where: str) -> tuple[list[int], list[int], list[str]]:
        with open(self.path, "rb") as file:
            file.seek(int(self._starts[number]))
            line = file.readline()
        try:
            entry: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not JSON ({error}); {WANTED}") from error
        entry = entry if isinstance(entry, dict) else {}
        tokens, labels, names = (entry.get(name) for name in ("token", "label", "raw_image"))
        names = [names] if isinstance(names, str) else names or []
        lists = isinstance(tokens, list) and isinstance(labels, list) and isinstance(names, list)
        if not lists or not all(type(x) is int for x in (*tokens, *labels)) or not all(isinstance(n, str) for n in names):
            raise InputError(f"{where}: {WANTED}")
        if len(tokens) != len(labels):
            raise InputError(f"{where}: {len(labels)} labels for {len(tokens)} tokens; want as many")
        return tokens, labels, names

    def _region(self, name: str, where: str) -> np.ndarray:
        data = read_image_inside(self.image_root, name)
        try:
            if isinstance(data, ImageRejected):
                raise data
            return decode(data)
        except ImageRejected as error:
            raise InputError(f"{where}: {name}: {error}") from error


def write_records(path: str | os.PathLike[str], documents: Iterable[tuple[Document, list[str]]]) -> int:
    """Writes records.

    Args:
      path: of the file.
      documents: each without features, and the images that the vision tower is to see.

    Returns:
      how many there were.
    """
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for document, images in documents:
            labels = np.where(document.kinds == NOTHING, IGNORED, document.tokens)
            entry = {"token": document.tokens.tolist(), "label": labels.tolist(), "raw_image": images, "id": count}
            file.write(json.dumps(entry) + "\n")
            count += 1
    return count
