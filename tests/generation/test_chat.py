"""A conversation remembers what was said, shown and drawn."""

import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.generation.chat import Chat, as_text
from ugf_jax.generation.unified_model import UnifiedModel


@pytest.fixture(scope="module")
def model(tiny_model):
    return UnifiedModel.load(tiny_model)


def image(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def test_what_is_told_piece_by_piece_is_the_answer(model):
    told = []
    chat = Chat(model, system="be brief")
    chat.show([image()])
    answer = chat.ask("what?", max_tokens=5, tell=told.append)
    assert "".join(told).strip() == answer
    assert chat.turns == [("system", "be brief"), ("human", "<|image|>what?"), ("gpt", answer)]


def test_an_answer_depends_on_what_was_before(model):
    fresh, later = Chat(model), Chat(model)
    later.ask("something else first", max_tokens=8)
    for chat in (fresh, later):
        chat.show([image()])
    answers = [chat.ask("what?", max_tokens=8) for chat in (fresh, later)]
    assert answers[0] == model.generate_text([[image()]], ["what?"], max_tokens=8)[0]
    assert answers[0] != answers[1]


def test_a_drawing_becomes_part_of_the_conversation(model):
    chat = Chat(model)
    drawing = chat.draw("a red thing", (24, 16))
    assert drawing.image.shape == (24, 16, 3)
    assert chat.turns == [("human", "a red thing"), ("gpt", "<|image|>")]
    assert chat.images() == 1
    chat.ask("what is it?", max_tokens=2)
    assert "model: [image]" in as_text(chat.turns)
    chat.forget()
    assert (chat.turns, chat.images()) == ([], 0)


def test_what_cannot_be_asked_is_refused_and_changes_nothing(model):
    chat = Chat(model)
    for question, message in ((" ", "an empty question"), ("<|image|>", "a question with <|image|> in it")):
        with pytest.raises(InputError, match=message.replace("|", r"\|")):
            chat.ask(question)
    with pytest.raises(InputError, match="cannot be read"):
        chat.show([image(), "none.png"])
    assert (chat.turns, chat.images()) == ([], 0)
