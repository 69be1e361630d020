"""What choosing a document needs to know and gives: settings, the lengths of a record's parts, the recipe."""

import dataclasses
import functools
from collections.abc import Sequence

from ugf_jax.config import FRACTION, NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.data import documents
from ugf_jax.data.records import Record
from ugf_jax.data.text import TextTokenizer
from ugf_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class TaskWeights:
    """How often each task is chosen, relative to the others that a record can serve."""

    generate: float = setting(4.0, NOT_NEGATIVE, "caption to image")
    caption: float = setting(1.0, NOT_NEGATIVE, "image to caption")
    question: float = setting(3.0, NOT_NEGATIVE, "questions about an image")
    conversation: float = setting(4.0, NOT_NEGATIVE, "turns with any number of images, each given or drawn by the model")
    text: float = setting(0.25, NOT_NEGATIVE, "a caption as plain text")
    contrastive: float = setting(1.0, NOT_NEGATIVE, "embeddings of an image and of its caption")

    def only(self, names: Sequence[str]) -> "TaskWeights":
        """The weights of the tasks named, and 0 for the others."""
        return TaskWeights(**{name: getattr(self, name) if name in names else 0.0 for name in TASKS})


TASKS = tuple(field.name for field in dataclasses.fields(TaskWeights))


@dataclasses.dataclass(frozen=True)
class RecipeSettings:
    """How records become documents."""

    tasks: TaskWeights = setting(TaskWeights())
    caption_dropout: float = setting(0.1, FRACTION, "share of generated images without their caption, for guidance")
    fullest: float = setting(0.0, FRACTION, "share of generated images whose caption is the longest of theirs, not any")
    memory_dropout: float = setting(0.1, FRACTION, "share of given images whose auxiliary memory is hidden")
    drawn: float = setting(0.0, FRACTION, "share of given images that are trained on too, and looked at only afterwards")
    max_questions: int = setting(4, POSITIVE, "questions about one image in a document")
    length: int = setting(1024, POSITIVE, "most tokens of a document (of both, for contrastive)")
    auxiliary: int = setting(4096, NOT_NEGATIVE, "most positions of auxiliary memory of a document")

    def validate(self, path: str) -> None:
        """Refuses weights that leave nothing to choose."""
        if not positive_weights(self.tasks):
            raise InputError(f"{path}.tasks: every weight is 0; want one greater than 0")


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Tokens of each part of a record: all that `choose` knows of it.

    Attributes:
      captions: tokens of each caption.
      questions: tokens of each question and of its answer.
      turns: the conversation, piece by piece (`documents.conversation_pieces`): 4 · tokens of its text + what opens it
        (0 system, 1 user, 2 assistant, 3 an image).
      images: master codes and kept auxiliary positions of each image; empty where no codes are stored.
      pairs: the record's preferences as they are.
    """

    captions: tuple[int, ...] = ()
    questions: tuple[tuple[int, int], ...] = ()
    turns: tuple[int, ...] = ()
    images: tuple[tuple[int, int], ...] = ()
    pairs: tuple[tuple[int, int, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A document, or the two of a contrastive pair, told in full.

    Attributes:
      task: one of `TASKS`.
      tokens: their tokens, of both documents together.
      auxiliary: positions of auxiliary memory that they need.
      documents: how many they are, 1 or 2.
      caption: number of the caption used, -1 for none.
      questions: numbers of the questions used, in order.
      dropped: numbers of the images whose memory is hidden.
      drawn: the first image, though given, is trained on as well.
      pieces: pieces of the conversation that are kept.
      cut: tokens kept of the last text (caption, answer, text of the last piece), with its END where that is trained on.
    """

    task: str
    tokens: int
    auxiliary: int = 0
    documents: int = 1
    caption: int = -1
    questions: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    drawn: bool = False
    pieces: int = 0
    cut: int = 0

    @property
    def sizes(self) -> tuple[int, int, int]:
        """What it takes of each of `RowShape.budgets`: tokens, auxiliary positions, pairs."""
        return self.tokens, self.auxiliary, self.documents - 1


def lengths_of(record: Record, text: TextTokenizer) -> Lengths:
    """Lengths of all parts of a record.

    Raises:
      InputError: a conversation that is not one (see `documents.conversation_pieces`).
    """
    pieces = documents.conversation_pieces(record)
    asked = [q[name] for q in record.questions for name in ("question", "answer")]
    counts = [len(ids) for ids in text.encode_many([*record.captions, *asked, *(p.text for p in pieces)])]
    first, last = len(record.captions), len(record.captions) + len(asked)
    return Lengths(
        tuple(counts[:first]),
        tuple(zip(counts[first:last:2], counts[first + 1 : last : 2], strict=True)),
        tuple(4 * n + p.opens for n, p in zip(counts[last:], pieces, strict=True)),
        tuple((c.master.size, documents.kept_positions(c)) for c in record.codes),
        record.pairs,
    )


@functools.lru_cache(maxsize=64)
def positive_weights(tasks: TaskWeights) -> tuple[tuple[str, float], ...]:
    """Name and weight of every task that may be chosen."""
    return tuple((name, getattr(tasks, name)) for name in TASKS if getattr(tasks, name) > 0)
