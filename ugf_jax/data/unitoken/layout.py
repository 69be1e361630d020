"""UniToken's sequence of an image, and whole documents of it.

    BOI height width (codes of a row, newline) × rows SEP (features of the vision tower, with newlines) EOI

The size tokens count grids of 32 pixels, of 2 × 2 codes. Where features stand, the token is PAD and its embedding is not read.
Of a generated image the whole span is trained on, and SEP of every image, as in the original; at inference all but the codes
is forced.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from ugf_jax.data.documents import CODE, NEVER, NOTHING, TEXT, Document, Layout, Span
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.unitoken import anyres
from ugf_jax.data.unitoken.anyres import NEWLINE, AnyResSettings
from ugf_jax.data.unitoken.vocabulary import CODES_A_GRID, UniTokenVocabulary
from ugf_jax.errors import InputError


class Seen(NamedTuple):
    """An image as a document has it.

    Attributes:
      codes: of the image tokenizer, `master` `[rows, columns]`, both even; auxiliary codes become memory.
      region: uint8 `[height, width, 3]`, what the vision tower sees: the part that was coded, in its own resolution. None: it
        sees nothing of this image.
    """

    codes: ImageCodes
    region: np.ndarray | None = None


class UniTokenLayout(Layout):
    """Puts a document together, token by token."""

    vocabulary: UniTokenVocabulary

    def __init__(self, vocabulary: UniTokenVocabulary, vision: AnyResSettings | None = None):
        """Starts an empty document.

        Args:
          vocabulary: the ids.
          vision: sizes of crops; None: no image has features of a vision tower.
        """
        super().__init__(vocabulary)
        self.vision = vision
        self._crops: list[np.ndarray] = []
        self._places: list[tuple[int, np.ndarray]] = []

    def image(self, number: int, codes: ImageCodes, role: str, decided: bool = False, region: np.ndarray | None = None) -> Self:
        """Adds the span of an image.

        Args:
          number: of the image in its record.
          codes: its tokenizer codes.
          role: "context", "generated" or "dropped".
          decided: the model decides to draw: BOI is trained on too.
          region: what the vision tower sees; see `Seen`.

        Raises:
          InputError: a grid or a code that the vocabulary has no token for.
        """
        words, start = self.vocabulary, len(self)
        kind = CODE if role == "generated" else NOTHING
        self._add([words.boi], TEXT if decided and kind else NOTHING)
        self._add(grid_tokens(codes.master, words), kind)
        columns = codes.master.shape[1]
        first = start + 3
        for cell in range(codes.master.size):
            self._cells[first + cell // columns * (columns + 1) + cell % columns] = cell
        self._see(region)
        self._add([words.eoi], kind)
        release = start if role == "context" else NEVER
        self._spans.append(Span(number, start, len(self) - 1, role, release, codes))
        return self

    def pieces(self, tokens: list[int], trained: list[bool], regions: Sequence[np.ndarray | None]) -> Self:
        """Adds a sequence that has images in it already, without features: these come before the EOI of each.

        Args:
          tokens: ids.
          trained: whether each is trained on.
          regions: what the vision tower sees of each image, in order; as many as there are EOIs.
        """
        waiting = iter(regions)
        words = self.vocabulary
        for token, own in zip(tokens, trained, strict=True):
            if token == words.eoi:
                self._see(next(waiting))
            code = words.first_code <= token < words.first_code + words.codes
            self._add([token], NOTHING if not own else CODE if code else TEXT)
        return self

    def document(self, task: str) -> Document:
        """The finished document, with the crops that the vision tower sees."""
        made = super().document(task)
        if not self._crops:
            return made
        features = np.full(len(made), -1, np.int32)
        for start, numbers in self._places:
            features[start : start + len(numbers)] = numbers
        return dataclasses.replace(made, features=features, crops=np.concatenate(self._crops))

    def _add(self, tokens: list[int], kind: int) -> None:
        self._tokens += tokens
        self._kinds += [kind] * len(tokens)
        self._cells += [-1] * len(tokens)

    def _see(self, region: np.ndarray | None) -> None:
        """Adds SEP and the places of features."""
        if region is None or self.vision is None:
            return
        words, grid = self.vocabulary, self.vision.grid
        self._add([words.sep], TEXT)
        numbers = anyres.features(region.shape[0], region.shape[1], self.vision)
        before = sum(map(len, self._crops)) * grid**2
        self._places.append((len(self), np.where(numbers == NEWLINE, -1, numbers + before)))
        self._add(np.where(numbers == NEWLINE, words.newline, words.pad).tolist(), NOTHING)
        self._crops.append(anyres.crops(region, self.vision))


def grid_tokens(codes: np.ndarray, words: UniTokenVocabulary) -> list[int]:
    """Size tokens, then codes row by row with a newline after each.

    Args:
      codes: integers `[rows, columns]`, both even.
      words: the ids.

    Raises:
      InputError: a grid or a code that there is no token for.
    """
    rows, columns = codes.shape
    if rows % CODES_A_GRID or columns % CODES_A_GRID:
        raise InputError(f"an image has {rows}x{columns} codes; want even numbers: a size token counts grids of 2x2")
    largest = int(np.max(codes, initial=0))
    if largest >= words.codes:
        raise InputError(f"config.vocabulary.codes is {words.codes}; an image has code {largest}")
    lines = np.pad(codes.astype(np.int64) + words.first_code, ((0, 0), (0, 1)), constant_values=words.newline)
    return [words.size_token(side // CODES_A_GRID) for side in (rows, columns)] + lines.ravel().tolist()


def read_images(tokens: np.ndarray, words: UniTokenVocabulary) -> list[np.ndarray]:
    """Codes int32 `[rows, columns]` of each whole image in a row of tokens `[n]`, in order."""
    found = []
    for start in np.flatnonzero(tokens == words.boi):
        sides = [(int(t) - words.no_size) * CODES_A_GRID for t in tokens[start + 1 : start + 3]]
        if len(sides) < 2 or min(sides) < 1:
            continue
        rows, columns = sides
        body = tokens[start + 3 : start + 3 + rows * (columns + 1)]
        if len(body) == rows * (columns + 1):
            found.append((body.reshape(rows, columns + 1)[:, :-1] - words.first_code).astype(np.int32))
    return found
