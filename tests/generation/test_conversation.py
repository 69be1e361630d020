"""Conversations as prompts."""

import numpy as np
import pytest

from ugf_jax.data.records import ImageCodes
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.generation.conversation import conversation_prompt

TEXT = TextTokenizer.load()
WORDS = VocabularySettings(text=TEXT.size, sizes=8, codes=16)
CODES = ImageCodes(np.arange(4).reshape(2, 2), (np.zeros((2, 3, 1), int),), (np.ones((2, 3), bool),), (16, 24))
SPAN = 8


def prompt(turns, images=0):
    return conversation_prompt(turns, [CODES] * images, TEXT, WORDS)


def test_turns_are_opened_and_ended_and_the_model_goes_on():
    document = prompt([("system", "short"), ("human", "hi"), ("gpt", "ho"), ("human", "so")])
    ids = [TEXT.encode(word) for word in ("short", "hi", "ho", "so")]
    opens = [WORDS.system, WORDS.user, WORDS.assistant, WORDS.user]
    expected = [t for o, i in zip(opens, ids, strict=True) for t in (o, *i, WORDS.end)] + [WORDS.assistant]
    assert document.tokens.tolist() == expected
    assert not document.kinds.any()


def test_images_stand_where_they_are_marked():
    document = prompt([("human", "a<|image|>b"), ("gpt", "<|image|>"), ("human", "c")], 2)
    before = 1 + len(TEXT.encode("a"))
    assert [span.start for span in document.spans] == [before, before + SPAN + len(TEXT.encode("b")) + 2]
    assert all(span.role == "context" and span.release == span.start for span in document.spans)


def test_images_without_marks_come_before_the_first_question():
    marked = prompt([("system", "x"), ("human", "<|image|><|image|>what?")], 2)
    plain = prompt([("system", "x"), ("human", "what?")], 2)
    assert plain.tokens.tolist() == marked.tokens.tolist()


@pytest.mark.parametrize(
    ("turns", "images", "message"),
    [
        ([("human", "<|image|>")], 2, r"1 <\|image\|> for 2 images"),
        ([("human", "<|image|> <|image|>")], 0, r"2 <\|image\|> for 0 images"),
        ([("gpt", "x")], 1, "no turn of 'human'"),
        ([("robot", "x")], 0, "a turn of 'robot'; want one of system, human, gpt"),
    ],
)
def test_what_does_not_fit_is_named(turns, images, message):
    with pytest.raises(InputError, match=message):
        prompt(turns, images)
