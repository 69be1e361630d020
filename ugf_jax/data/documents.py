"""Documents: interleaved text and images as the sequence of tokens that the transformer reads.

An image is the span `BOI, height token, width token, master codes (row by row), EOI`; the size tokens count the cells of its
finest grid of auxiliary codes. Its auxiliary codes are no tokens: they are a memory that a token may look into from the span's
*release* position on. What the model is trained to predict is marked at the token that is predicted.
"""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np

from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.sources.fields import IMAGE_MARK
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

NEVER = 2**30  # release of a memory that no token of the document may see
NOTHING, TEXT, CODE = 0, 1, 2  # kinds: what is trained on at a token
SPAN_EXTRA = 4  # BOI, two size tokens, EOI

SYSTEM_TURN, USER_TURN, ASSISTANT_TURN, IMAGE = 0, 1, 2, 3  # what opens a piece of a conversation
_OPENS = {"system": SYSTEM_TURN, "human": USER_TURN, "gpt": ASSISTANT_TURN}


@dataclasses.dataclass(frozen=True, eq=False)
class Span:
    """One image of a document.

    Attributes:
      image: its number in the record.
      start, end: index of BOI and of EOI.
      role: "context" (given), "generated" (trained on), or "dropped" (given, but its memory is hidden).
      release: first position that may see its auxiliary memory; `NEVER` for none.
      codes: its tokenizer codes.
    """

    image: int
    start: int
    end: int
    role: str
    release: int
    codes: ImageCodes

    @property
    def auxiliary(self) -> int:
        """Positions that its memory needs: those kept, over all levels; 0 where none may ever be seen."""
        return 0 if self.release == NEVER else kept_positions(self.codes)


@dataclasses.dataclass(frozen=True, eq=False)
class Document:
    """A sequence that is trained on as a whole; positions are 0 … n - 1.

    Attributes:
      tokens: int32 `[n]`, ids of `VocabularySettings`.
      kinds: int8 `[n]`, what is trained on with this token as the target (predicted from the token before): 0 nothing,
        1 text, 2 a master code.
      cells: int32 `[n]`, number (row · columns + column) of the master cell of a code token, else -1.
      spans: its images, in order.
      task: the task it was made for.
      embed: index of the EMB token, or -1.
      features: int32 `[n]`, which of the features of all crops stands in the place of a token's embedding, else -1; None: none.
      crops: uint8 `[crops, side, side, 3]`, what the vision tower sees; None: nothing.
    """

    tokens: np.ndarray
    kinds: np.ndarray
    cells: np.ndarray
    spans: tuple[Span, ...]
    task: str
    embed: int = -1
    features: np.ndarray | None = None
    crops: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def auxiliary(self) -> int:
        """Positions of auxiliary memory that the document needs."""
        return sum(span.auxiliary for span in self.spans)


def kept_positions(codes: ImageCodes) -> int:
    """Auxiliary positions that are not skipped, over all levels."""
    return sum(int(np.count_nonzero(kept)) for kept in codes.kept)


def finest_grid(codes: ImageCodes) -> tuple[int, int]:
    """`(rows, columns)` of the finest grid of auxiliary codes; of the master codes where there are no others."""
    rows, columns = codes.kept[-1].shape if codes.kept else codes.master.shape
    return rows, columns


class Layout:
    """Puts a document together, token by token; each method returns the layout itself."""

    def __init__(self, vocabulary: VocabularySettings):
        """Starts an empty document."""
        self.vocabulary = vocabulary
        self._tokens: list[int] = []
        self._kinds: list[int] = []
        self._cells: list[int] = []
        self._spans: list[Span] = []
        self._embed = -1

    def __len__(self) -> int:
        return len(self._tokens)

    def text(self, ids: Iterable[int], trained: bool = False) -> Self:
        """Adds ids of text or of specials, all trained on or none."""
        before = len(self._tokens)
        self._tokens += ids
        self._kinds += [TEXT if trained else NOTHING] * (len(self._tokens) - before)
        self._cells += [-1] * (len(self._tokens) - before)
        return self

    def special(self, token: int, trained: bool = False) -> Self:
        """Adds one special token."""
        return self.text((token,), trained)

    def embedding(self) -> Self:
        """Adds the EMB token."""
        self._embed = len(self._tokens)
        return self.special(self.vocabulary.emb)

    def image(self, number: int, codes: ImageCodes, role: str, decided: bool = False) -> Self:
        """Adds the span of an image.

        Args:
          number: of the image in its record.
          codes: its tokenizer codes.
          role: "context", "generated" or "dropped".
          decided: the model decides to draw: BOI is trained on too.

        Raises:
          InputError: a grid or a code that the vocabulary has no token for.
        """
        words = self.vocabulary
        rows, columns = finest_grid(codes)
        master = codes.master.astype(np.int64).ravel()
        largest = int(np.max(master, initial=0))
        if largest >= words.codes:
            raise InputError(f"config.vocabulary.codes is {words.codes}; an image has master code {largest}")
        start = len(self._tokens)
        self.special(words.boi, decided).text((words.size_token(rows), words.size_token(columns)))
        self._tokens += (master + words.first_code).tolist()
        self._kinds += [CODE if role == "generated" else NOTHING] * master.size
        self._cells += range(master.size)
        self.special(words.eoi)
        release = start if role == "context" else NEVER
        self._spans.append(Span(number, start, len(self._tokens) - 1, role, release, codes))
        return self

    def document(self, task: str) -> Document:
        """The finished document; only now is it known which generated images are looked at later."""
        return Document(
            np.array(self._tokens, np.int32),
            np.array(self._kinds, np.int8),
            np.array(self._cells, np.int32),
            tuple(self._released(span) for span in self._spans),
            task,
            self._embed,
        )

    def _released(self, span: Span) -> Span:
        if span.role != "generated":
            return span
        after = self._tokens[span.end + 1 :]
        return dataclasses.replace(span, release=NEVER if after in ([], [self.vocabulary.end]) else span.end)


class Piece(NamedTuple):
    """A stretch of a conversation: what opens it (a turn of someone, or an image within a turn), and the text that follows."""

    opens: int
    text: str


def conversation_pieces(record: Record) -> tuple[Piece, ...]:
    """The turns of a record, cut at each image mark.

    Raises:
      InputError: a turn that is not `{"from": "human" | "gpt" | "system", "value": text}`, or another number of image marks
        than images.
    """
    found = []
    for turn in record.turns:
        opens, value = _OPENS.get(turn.get("from", "")), turn.get("value")
        if opens is None or value is None:
            raise InputError(f"record '{record.key}': {turn!r} is no turn; want from (human, gpt or system) and value")
        first, *others = value.split(IMAGE_MARK)
        found += [Piece(opens, first), *(Piece(IMAGE, text) for text in others)]
    marks = sum(piece.opens == IMAGE for piece in found)
    images = len(record.codes) or len(record.sizes)
    if record.turns and marks != images:
        raise InputError(f"record '{record.key}': {marks} {IMAGE_MARK} in its turns for {images} images; want one for each")
    return tuple(found)


def image_to_embed(codes: ImageCodes, vocabulary: VocabularySettings, image: int = 0) -> Document:
    """The image of a contrastive pair, in a document of its own; `image` is its number in its record."""
    return Layout(vocabulary).image(image, codes, "context").embedding().document("embedding")


def text_to_embed(ids: Iterable[int], vocabulary: VocabularySettings) -> Document:
    """The text of a contrastive pair, in a document of its own."""
    return Layout(vocabulary).special(vocabulary.user).text(ids).embedding().document("embedding")
