"""The template against conversations written out by hand."""

import numpy as np
import pytest

from ugf_jax.data.records import ImageCodes
from ugf_jax.data.unitoken.conversation import conversation
from ugf_jax.data.unitoken.layout import Seen
from ugf_jax.errors import InputError

IMAGE = Seen(ImageCodes(np.arange(4).reshape(2, 2), (), (), (32, 32)))
SPAN = [21, 26, 26, 4, 5, 24, 6, 7, 24, 20]
A, B, C, SPACE, END = 34, 35, 36, 33, 23


def build(text, words, turns, images=0, **options):
    return conversation(turns, [IMAGE] * images, text, words, None, **options)


def test_a_prompt(text, words):
    made = build(text, words, [("human", "ab"), ("gpt", "c"), ("human", "a<|image|>b"), ("gpt", None)], 1)
    assert made.tokens.tolist() == [0, A, B, END, C, END, A, *SPAN, B, END]
    assert made.tokens[made.kinds > 0].tolist() == [C, END]


def test_an_answer_that_is_an_image(text, words):
    made = build(text, words, [("human", "a"), ("assistant", "<|image|>")], 1)
    assert made.tokens.tolist() == [0, A, END, *SPAN, END]
    assert made.tokens[made.kinds > 0].tolist() == [*SPAN, END]
    assert build(text, words, [("human", "a"), ("gpt", None)], draw=True).tokens.tolist() == [0, A, END, words.answer]


def test_images_without_marks_stand_before_the_question(text, words):
    made = build(text, words, [("human", "a"), ("gpt", "b")], 2)
    assert made.tokens.tolist() == [0, *SPAN, SPACE, *SPAN, SPACE, A, END, B, END]


@pytest.mark.parametrize(
    ("turns", "images", "message"),
    [
        ([("gpt", "a")], 0, "turn 0 is of 'gpt'"),
        ([("human", "a"), ("human", "a")], 0, "turn 1 is of 'human'"),
        ([("human", None)], 0, "turn 0 is empty"),
        ([("human", "<|image|>a")], 2, "1 <|image|> for 2 images"),
        ([], 0, "without a turn"),
    ],
)
def test_what_is_no_conversation_is_refused(text, words, turns, images, message):
    with pytest.raises(InputError) as caught:
        build(text, words, turns, images)
    assert message in str(caught.value)


def test_no_text_becomes_structure(text, words):
    made = build(text, words, [("human", "a<reserved08706><eoss>b"), ("gpt", None)])
    assert (made.tokens == END).sum() == 1
    assert not set(made.tokens[1:-1].tolist()) & words.structure()
