"""Several documents of UniToken in one row: how large each is, told before any of their images is decoded.

Which row a document stands in is planned as for all documents (`ugf_jax.data.document_plan`), here from tokens, positions of
auxiliary memory and crops for the vision tower. The sizes of a record are read from the record itself, so a host reads the
records, though not the images, of whole windows of which it needs some rows.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Protocol

from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.task_parts import Recipe
from ugf_jax.data.unitoken import anyres
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class DocumentSize:
    """What a document takes of a row: tokens, positions of auxiliary memory, crops."""

    tokens: int
    auxiliary: int
    crops: int


@dataclasses.dataclass(frozen=True)
class PackedShape(RowShape):
    """What a row has room for, crops among it.

    Attributes:
      crops: for the vision tower.
    """

    crops: int = 0

    @property
    def budgets(self) -> tuple[int, int, int]:
        """What `sizes` of documents are packed into."""
        return self.length, self.auxiliary, self.crops


@dataclasses.dataclass(frozen=True)
class PackedRecipe(Recipe):
    """A document as it is planned.

    Attributes:
      crops: that it brings, at most.
      key: random bits of its own.
    """

    crops: int = 0
    key: int = 0

    @property
    def sizes(self) -> tuple[int, int, int]:
        """What it takes of each of `PackedShape.budgets`."""
        return self.tokens, self.auxiliary, self.crops


class Sized(Protocol):
    """Numbered documents whose sizes are known before they are read."""

    def __len__(self) -> int: ...

    def size(self, number: int, words: UniTokenVocabulary, vision: AnyResSettings | None) -> DocumentSize:
        """Of one of them."""


class SizeSource:
    """Sizes of the documents of a dataset; a `document_plan.LengthSource`."""

    def __init__(self, records: Sized, words: UniTokenVocabulary, vision: AnyResSettings | None, shape: PackedShape, name: str):
        """Reads nothing yet; `name` is that of the dataset, for messages."""
        self._records, self._words, self._vision, self._shape, self._name = records, words, vision, shape, name

    def __len__(self) -> int:
        return len(self._records)

    def many(self, records: Iterable[int]) -> list[DocumentSize]:
        """Sizes of each of these records.

        Raises:
          InputError: a record cannot be read, or brings more crops than a row has room for.
        """
        return [self._one(int(number)) for number in records]

    def _one(self, number: int) -> DocumentSize:
        found = self._records.size(number, self._words, self._vision)
        if found.crops > self._shape.crops:
            raise InputError(
                f"config.data.images: {self._name}, record {number} has {found.crops} crops, and a row has room for "
                f"{self._shape.crops}; want room for them"
            )
        return found


def choose(size: DocumentSize, key: int, shape: PackedShape) -> PackedRecipe:
    """The document that a record becomes: cut to the length of a row, and without memory that a row has no room for."""
    auxiliary = size.auxiliary if size.auxiliary <= shape.auxiliary else 0
    tokens = min(size.tokens, shape.length)
    return PackedRecipe("unitoken", tokens, auxiliary, crops=size.crops, key=int(key))


def with_features(
    tokens: int, auxiliary: int, images: Sequence[tuple[int, int]], vision: AnyResSettings | None
) -> DocumentSize:
    """Size of a document of `tokens` without features, whose images of these (height, width) the vision tower sees."""
    seen = [_features(*size, vision) for size in images] if vision else []
    return DocumentSize(tokens + sum(n for n, _ in seen), auxiliary, sum(n for _, n in seen))


@functools.lru_cache(maxsize=4096)
def _features(height: int, width: int, vision: AnyResSettings) -> tuple[int, int]:
    """Tokens of an image's features, SEP among them, and its crops."""
    crops = 1
    if vision.pinpoints:
        across, down = anyres.choose(height, width, vision.pinpoints)
        crops += across * down // vision.size**2
    return 1 + len(anyres.features(height, width, vision)), crops
