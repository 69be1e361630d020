"""The documents in which an image is judged as an answer to a prompt.

DPO asks how likely the image is where the prompt has been read: `USER prompt END ASSISTANT span END`. A reward model reads
several documents, all of them laid out as in training, each in a segment of one row:

    1   USER span END ASSISTANT prompt END    the image described by its prompt; the last token has seen everything
    2   USER prompt END ASSISTANT span        the image drawn for the prompt
    3   span                                  the image drawn for nothing
    4   span EMB                              the image to be embedded, only for models that have embeddings
    5   USER prompt EMB                       the prompt to be embedded, likewise

The details of the image may be seen in documents 1 and 4. Where it is drawn they come after the codes and are hidden.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ugf_jax.data.documents import SPAN_EXTRA, Document, Layout, image_to_embed, text_to_embed
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.vocabulary import VocabularySettings

DESCRIBED, DRAWN, UNPROMPTED = 1, 2, 3  # segments of a row that a reward model reads


@dataclasses.dataclass(frozen=True)
class RowKind:
    """Which documents of an image and its prompt a row holds, by what they need.

    Attributes:
      prompts, spans: how often prompt and span are there.
      others: tokens that belong to neither.
      seen: documents in which details are seen; each has them in memory.
      pairs: of documents to be embedded.
    """

    prompts: int
    spans: int
    others: int
    seen: int
    pairs: int

    def room(self, length: int, master: Any) -> Any:
        """Tokens that a row of `length` has for a prompt, each time, beside so many master codes (int, or int `[images]`)."""
        return (length - self.others - self.spans * (master + SPAN_EXTRA)) // self.prompts


ANSWER = RowKind(prompts=1, spans=1, others=4, seen=1, pairs=0)  # of DPO
READ = RowKind(prompts=2, spans=3, others=7, seen=1, pairs=0)  # of a reward model without embeddings
EMBEDDED = RowKind(prompts=3, spans=4, others=10, seen=2, pairs=1)  # of one with them


def judged_row(
    kind: RowKind, prompt: Sequence[int], codes: ImageCodes, words: VocabularySettings, length: int, image: int = 0
) -> list[tuple[Document, ...]]:
    """The documents of an image and its prompt, as `collate_row` takes them.

    Args:
      kind: which documents.
      prompt: ids of the text; cut to what the row has room for.
      codes: of the image.
      words: ids of everything.
      length: tokens of the row.
      image: number of the image in its record.

    Raises:
      InputError: a grid or a code that the vocabulary has no token for.
    """
    prompt = prompt[: max(int(kind.room(length, codes.master.size)), 0)]
    if kind is ANSWER:
        return [(judged_document(prompt, codes, words, image),)]
    row: list[tuple[Document, ...]] = [(document,) for document in _read(prompt, codes, words, image)]
    if kind is EMBEDDED:
        row.append((image_to_embed(codes, words, image), text_to_embed(prompt, words)))
    return row


def judged_document(prompt: Sequence[int], codes: ImageCodes, words: VocabularySettings, image: int = 0) -> Document:
    """An image as the answer to a prompt; arguments as in `judged_row`."""
    layout = _asked(prompt, words).image(image, codes, "context")
    return layout.special(words.end).document("judged")


def _read(prompt: Sequence[int], codes: ImageCodes, words: VocabularySettings, image: int) -> list[Document]:
    """Documents 1 to 3; the targets of likelihoods are marked as in training."""
    described = Layout(words).special(words.user).image(image, codes, "context").special(words.end).special(words.assistant)
    described.text([*prompt, words.end], trained=True)
    drawn = _asked(prompt, words).image(image, codes, "generated")
    unprompted = Layout(words).image(image, codes, "generated")
    return [layout.document("judged") for layout in (described, drawn, unprompted)]


def _asked(prompt: Sequence[int], words: VocabularySettings) -> Layout:
    return Layout(words).special(words.user).text(prompt).special(words.end).special(words.assistant)
