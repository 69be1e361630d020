"""The document in which an image is judged as an answer to a prompt: `USER prompt END ASSISTANT span END`.

It is laid out like one that is generated, but the image is given: from BOI on its details may be seen. What is thought of it is
read at the last token, which sees everything.
"""

from collections.abc import Sequence
from typing import Any

from ugf_jax.data.documents import SPAN_EXTRA, Document, Layout, image_to_embed, text_to_embed
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.vocabulary import VocabularySettings

FIXED = 4 + SPAN_EXTRA  # tokens beside the prompt and the master codes
PAIR = 3 + SPAN_EXTRA  # likewise of the contrastive pair: USER and both EMB


def judged_document(
    prompt: Sequence[int], codes: ImageCodes, vocabulary: VocabularySettings, length: int = 0, image: int = 0
) -> Document:
    """An image and the prompt that it is judged by.

    Args:
      prompt: ids of the text; cut at its end where the document would be longer than `length`.
      codes: of the image.
      vocabulary: ids of everything.
      length: most tokens; 0: any number.
      image: number of the image in its record.

    Raises:
      InputError: a grid or a code that the vocabulary has no token for.
    """
    room = length - FIXED - codes.master.size if length else len(prompt)
    layout = Layout(vocabulary).special(vocabulary.user).text(prompt[: max(room, 0)]).special(vocabulary.end)
    layout.special(vocabulary.assistant).image(image, codes, "context")
    return layout.special(vocabulary.end).document("judged")


def judged_row(
    prompt: Sequence[int],
    codes: ImageCodes,
    vocabulary: VocabularySettings,
    length: int,
    image: int = 0,
    embedded: bool = False,
) -> list[tuple[Document, ...]]:
    """What a row holds of an image and the prompt that it is judged by, as `collate_row` takes it.

    Args:
      prompt, codes, vocabulary, image: as in `judged_document`.
      length: tokens of the row; the prompt is cut to what is left of it.
      embedded: besides the judged document the row has the image and the prompt apart, as the contrastive pair that a model
        with embeddings was trained on.

    Raises:
      InputError: as in `judged_document`.
    """
    prompt = prompt[: max(int(prompt_room(length, codes.master.size, embedded)), 0)]
    row: list[tuple[Document, ...]] = [(judged_document(prompt, codes, vocabulary, image=image),)]
    if embedded:
        row.append((image_to_embed(codes, vocabulary, image), text_to_embed(prompt, vocabulary)))
    return row


def prompt_room(length: int, master: Any, embedded: bool) -> Any:
    """Tokens that a row of `length` has for a prompt beside so many master codes (int, or int `[images]`)."""
    room = length - FIXED - master
    return (room - master - PAIR) // 2 if embedded else room
