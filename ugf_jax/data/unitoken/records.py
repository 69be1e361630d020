"""Pre-tokenised records: what UniToken trains on, so that training encodes no image.

One JSON object a line, with the keys of the original's records (which are pickles, and not read here):

    {"token": [0, 8197, …], "label": [-100, …], "raw_image": ["cat.png"], "size": [[480, 640]], "id": 7}

`label` is the token where it is trained on, -100 elsewhere; `raw_image` is what the vision tower sees, one for each image of
the sequence or none. Paths are relative to an image root and stay inside it. `size`, which the original's do not have, is the
height and width of each: with it rows are planned without opening an image.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ugf_jax.data.documents import NOTHING, Document
from ugf_jax.data.image import ImageInfo, ImageRejected, decode, probe
from ugf_jax.data.sources.base import read_image_inside
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.layout import UniTokenLayout
from ugf_jax.data.unitoken.packing import DocumentSize, with_features
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
        where, entry = f"{self.path}: record {number}", self._entry(number, words)
        regions: list[np.ndarray | None] = [_opened(self.image_root, n, where, decode) for n in entry.images] if vision else []
        for name, region, size in zip(entry.images, regions, entry.sizes, strict=False):
            if region is not None and region.shape[:2] != size:
                raise InputError(f"{where}: size of {name} is {list(size)}; it has {list(region.shape[:2])}")
        layout = UniTokenLayout(words, vision)
        trained = [label != IGNORED for label in entry.labels]
        layout.pieces(entry.tokens, trained, regions or [None] * entry.tokens.count(words.eoi))
        return layout.document("pre-tokenised")

    def size(self, number: int, words: UniTokenVocabulary, vision: AnyResSettings | None) -> DocumentSize:
        """What a record will take of a row; opens its images only where it does not say their sizes.

        Raises:
          InputError: a record that is none, or an image that cannot be read.
        """
        where, entry = f"{self.path}: record {number}", self._entry(number, words)
        sizes: list[tuple[int, int]] = []
        if vision:
            sizes = entry.sizes or [image_size(self.image_root, name, where) for name in entry.images]
        return with_features(len(entry.tokens), 0, sizes, vision)

    def _entry(self, number: int, words: UniTokenVocabulary) -> "_Entry":
        """A record that is sound."""
        where = f"{self.path}: record {number}"
        found = self._read(number, where)
        tokens, images = found.tokens, found.tokens.count(words.eoi)
        if found.images and len(found.images) != images:
            raise InputError(
                f"{where}: {len(found.images)} raw_image for {images} images in its tokens; want one for each, or none"
            )
        if found.sizes and len(found.sizes) != len(found.images):
            raise InputError(f"{where}: {len(found.sizes)} size for {len(found.images)} raw_image; want one for each, or none")
        if tokens and not 0 <= min(tokens) <= max(tokens) < words.total:
            raise InputError(f"{where}: tokens from {min(tokens)} to {max(tokens)}; want them from 0 to {words.total - 1}")
        return found

    def _read(self, number: int, where: str) -> "_Entry":
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
        sizes = entry.get("size") or []
        if not isinstance(sizes, list) or not all(_is_size(size) for size in sizes):
            raise InputError(f"{where}: size is {sizes!r}; want [[height, width], …] in pixels")
        return _Entry(tokens, labels, names, [(height, width) for height, width in sizes])


class _Entry(NamedTuple):
    """A record as it is stored: ids, labels, names of images, and (height, width) of each or nothing."""

    tokens: list[int]
    labels: list[int]
    images: list[str]
    sizes: list[tuple[int, int]]


def image_size(root: pathlib.Path, name: str, where: str) -> tuple[int, int]:
    """Height and width of an image, from its header.

    Raises:
      InputError: it cannot be read; `where` begins the message.
    """
    found: ImageInfo = _opened(root, name, where, probe)
    return found.height, found.width


def _opened(root: pathlib.Path, name: str, where: str, read: Callable[[bytes], Any]) -> Any:
    data = read_image_inside(root, name)
    try:
        if isinstance(data, ImageRejected):
            raise data
        return read(data)
    except ImageRejected as error:
        raise InputError(f"{where}: {name}: {error}") from error


def _is_size(size: Any) -> bool:
    return isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)


def write_records(
    path: str | os.PathLike[str],
    documents: Iterable[tuple[Document, list[str]]],
    image_root: str | os.PathLike[str] | None = None,
) -> int:
    """Writes records.

    Args:
      path: of the file.
      documents: each without features, and the images that the vision tower is to see.
      image_root: where these are, to note their sizes, which packing wants to know; None: they are not noted.

    Returns:
      how many there were.

    Raises:
      InputError: an image whose size is to be noted cannot be read.
    """
    root = None if image_root is None else pathlib.Path(image_root)
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for document, images in documents:
            labels = np.where(document.kinds == NOTHING, IGNORED, document.tokens)
            entry = {"token": document.tokens.tolist(), "label": labels.tolist(), "raw_image": images}
            if root is not None:
                entry["size"] = [image_size(root, name, f"{path}: record {count}") for name in images]
            file.write(json.dumps(entry | {"id": count}) + "\n")
            count += 1
    return count
