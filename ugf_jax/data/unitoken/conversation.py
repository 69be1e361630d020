"""UniToken's conversation template: `<s>`, then each turn and the end-of-turn token. Nothing else says who speaks.

Turns alternate, a human's first. `<|image|>` marks each image; where no turn marks any, they stand before the first question,
each with a space behind it. What the model says is trained on, with the end of its turn.
"""

from collections.abc import Sequence

from ugf_jax.data.documents import Document
from ugf_jax.data.sources.fields import IMAGE_MARK
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.layout import Seen, UniTokenLayout
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError

HUMAN, MODEL = ("human", "user"), ("gpt", "assistant")
Turn = tuple[str, str | None]  # (who, what); None: the model's turn that is to come


def conversation(
    turns: Sequence[Turn],
    images: Sequence[Seen],
    text: TextTokenizer,
    words: UniTokenVocabulary,
    vision: AnyResSettings | None,
    draw: bool = False,
) -> Document:
    """A conversation as a document; a prompt where the last turn is None.

    Args:
      turns: who speaks and what.
      images: in the order of their marks.
      text: the text tokenizer.
      words: the ids.
      vision: sizes of crops; None: no features.
      draw: the model's next turn is an image: the token that comes before it is added.

    Raises:
      InputError: turns that do not alternate, or another number of marks than images.
    """
    turns = _marked(turns, len(images))
    layout, number = UniTokenLayout(words, vision).special(words.bos), 0
    for place, (who, value) in enumerate(turns):
        model = place % 2 == 1
        if who.lower() not in (MODEL if model else HUMAN):
            raise InputError(f"turn {place} is of '{who}'; want turns of human and gpt in turn, a human's first")
        if value is None:
            if place != len(turns) - 1 or not model:
                raise InputError(f"turn {place} is empty; want only the model's last one to be")
            break
        first, *others = value.split(IMAGE_MARK)
        layout.text(_encoded(first, text, words), trained=model)
        for after in others:
            own = images[number]
            layout.image(number, own.codes, "generated" if model else "context", decided=model, region=own.region)
            layout.text(_encoded(after, text, words), trained=model)
            number += 1
        layout.special(words.end, trained=model)
    if draw:
        layout.special(words.answer)
    return layout.document("conversation")


def _encoded(value: str, text: TextTokenizer, words: UniTokenVocabulary) -> list[int]:
    """Ids of a text; those of structure are refused: they come from a tokenizer that is not this vocabulary's."""
    ids = text.encode(value)
    if not words.structure().isdisjoint(ids):
        wrong = next(token for token in ids if token in words.structure())
        raise InputError(
            f"the text tokenizer gives id {wrong}, {words.describe(wrong, text)}; want the model's own tokenizer.json"
        )
    return ids


def _marked(turns: Sequence[Turn], images: int) -> list[Turn]:
    """The turns with a mark for each image."""
    marks = sum((value or "").count(IMAGE_MARK) for _, value in turns)
    if not turns:
        raise InputError("a conversation without a turn; want at least a question")
    if marks == images:
        return list(turns)
    if marks:
        raise InputError(f"{marks} {IMAGE_MARK} for {images} images; want one for each, or none at all")
    who, value = turns[0]
    return [(who, f"{IMAGE_MARK} " * images + (value or "")), *turns[1:]]
