"""Conversations as prompts: turns of text and images that the model continues."""

from collections.abc import Sequence

from ugf_jax.data.documents import Document, Layout
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.sources.fields import IMAGE_MARK
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

ROLES = ("system", "human", "gpt")


def conversation_prompt(
    turns: Sequence[tuple[str, str]], codes: Sequence[ImageCodes], text: TextTokenizer, words: VocabularySettings
) -> Document:
    """Turns so far as a document that ends where the model's next turn begins; all of it is context.

    Args:
      turns: (role, text) with `<|image|>` where an image stands. Where no turn marks an image, all images stand before the
        text of the first turn of "human".
      codes: of the images, in the order of their marks.
      text: the text tokenizer.
      words: the vocabulary.

    Raises:
      InputError: an unknown role, another number of marks than images, or no turn of "human" to put images in.
    """
    turns = _with_marks(turns, len(codes))
    layout, image = Layout(words), 0
    for role, value in turns:
        if role not in ROLES:
            raise InputError(f"a turn of '{role}'; want one of {', '.join(ROLES)}")
        first, *others = value.split(IMAGE_MARK)
        layout.special({"system": words.system, "human": words.user, "gpt": words.assistant}[role]).text(text.encode(first))
        for after in others:
            layout.image(image, codes[image], "context").text(text.encode(after))
            image += 1
        layout.special(words.end)
    return layout.special(words.assistant).document("conversation")


def _with_marks(turns: Sequence[tuple[str, str]], images: int) -> list[tuple[str, str]]:
    """The turns with a mark for each image."""
    marks = sum(value.count(IMAGE_MARK) for _, value in turns)
    if marks == images:
        return list(turns)
    if marks:
        raise InputError(f"{marks} {IMAGE_MARK} for {images} images; want one for each, or none at all")
    first = next((number for number, (role, _) in enumerate(turns) if role == "human"), None)
    if first is None:
        raise InputError(f"{images} images and no turn of 'human' for them to stand in")
    marked = list(turns)
    marked[first] = ("human", IMAGE_MARK * images + marked[first][1])
    return marked
