"""How the fixed layouts give way where room is short."""

import dataclasses

import numpy as np
import pytest

from ugf_jax.data.documents import CODE, SPAN_EXTRA
from ugf_jax.data.recipes import TASKS, RecipeSettings, TaskWeights, build, choose, lengths_of
from ugf_jax.data.records import Record
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings

TEXTS = TextTokenizer.load()
WORDS = VocabularySettings(codes=100)
KEY = 11


def made(record, task, length, **others):
    weights = TaskWeights(**{name: float(name == task) for name in TASKS})
    settings = RecipeSettings(weights, **({"caption_dropout": 0.0, "memory_dropout": 0.0, "length": length} | others))
    recipe = choose(lengths_of(record, TEXTS), KEY, settings)
    return (recipe, build(recipe, record, TEXTS, WORDS)) if recipe else (None, ())


@pytest.fixture
def record(make_codes):
    questions = tuple({"question": f"what is {n}?", "answer": "a red circle " * (n + 1)} for n in range(4))
    return Record("k", captions=("a red circle and two blue stars",), questions=questions, codes=(make_codes(1),))


def span_tokens(document):
    return [document.tokens[s.start : s.end + 1].tolist() for s in document.spans]


@pytest.mark.parametrize("task", TASKS)
def test_an_image_is_whole_or_the_task_is_not_served(record, task):
    image = span_tokens(made(record, "generate", 1000)[1][0])[0]
    full = made(record, task, 1000)[0]
    lengths = []
    for length in range(1, full.tokens + 1 if full else 40):
        recipe, documents = made(record, task, length)
        lengths.append(recipe.tokens if recipe else 0)
        for document in documents:
            assert all(tokens == image for tokens in span_tokens(document))
            assert (document.tokens == WORDS.boi).sum() == (document.tokens == WORDS.eoi).sum()
        assert recipe is None or sum(map(len, documents)) <= length
    if full:
        served = [n for n in lengths if n]
        assert lengths[-1] == full.tokens
        assert lengths == sorted(lengths)
        shortest = lengths.index(served[0]) + 1
        assert shortest > (0 if task == "text" else len(image))
    else:
        assert task == "conversation"
        assert not any(lengths)


@pytest.mark.parametrize(("task", "extra"), [("caption", 0), ("text", 0), ("generate", 1), ("contrastive", 1)])
def test_a_cut_text_is_a_start_of_the_whole_and_does_not_teach_to_stop(record, task, extra):
    caption = TEXTS.encode(record.captions[0])
    full, _ = made(record, task, 1000)
    for less in range(1, len(caption)):
        recipe, documents = made(record, task, full.tokens - less)
        text = documents[-1]
        ids = [i for i in text.tokens.tolist() if i < WORDS.text]
        assert ids == caption[: len(caption) - less + (1 - extra)]
        assert recipe.tokens == full.tokens - less
        if task in ("caption", "text"):
            assert text.tokens[-1] < WORDS.text  # neither END nor a reason to predict it
        elif task == "generate":
            assert text.tokens[-1] == WORDS.end  # the caption is only given; its turn ends as always
            assert (text.tokens == WORDS.end).sum() == 2


def test_questions_are_dropped_from_the_end_and_only_a_lone_answer_is_cut(record):
    full, _ = made(record, "question", 1000)
    assert len(full.questions) == 4
    counts = set()
    for length in range(1, full.tokens):
        recipe, documents = made(record, "question", length)
        if recipe is None:
            continue
        assert recipe.questions == full.questions[: len(recipe.questions)]
        counts.add(len(recipe.questions))
        whole = TEXTS.encode(record.questions[recipe.questions[-1]]["answer"])
        if len(recipe.questions) > 1:
            assert recipe.cut == len(whole) + 1
        last = documents[0].tokens[-recipe.cut :].tolist()
        assert last == [*whole, WORDS.end][: recipe.cut]
    assert counts == {1, 2, 3}


def test_memory_beyond_the_limit_leaves_only_documents_that_need_none(record):
    (_, kept), *_ = lengths_of(record, TEXTS).images
    for task in TASKS:
        if task == "conversation":
            continue
        needs = task in ("caption", "question", "contrastive")
        assert (made(record, task, 1000, auxiliary=kept - 1)[0] is None) == needs
        assert made(record, task, 1000, auxiliary=kept)[0].auxiliary == (kept if needs else 0)
        assert made(record, task, 1000, auxiliary=0, memory_dropout=1.0)[0].auxiliary == 0


@pytest.mark.parametrize("task", ["caption", "question", "contrastive"])
def test_a_drawn_image_is_trained_on_and_looked_at_only_when_complete(record, task):
    record = dataclasses.replace(record, questions=record.questions[:1])
    recipe, documents = made(record, task, 1000, drawn=1.0)
    given, before = made(record, task, 1000)
    assert recipe.drawn
    assert (recipe.tokens, recipe.auxiliary) == (given.tokens, given.auxiliary)
    (span,), (other,) = documents[0].spans, before[0].spans
    assert (span.role, span.release) == ("generated", span.end)
    assert (other.role, other.release) == ("context", other.start)
    codes = documents[0].cells >= 0
    assert (documents[0].kinds[codes] == CODE).all()
    assert not before[0].kinds[codes].any()
    np.testing.assert_array_equal(documents[0].tokens, before[0].tokens)
    np.testing.assert_array_equal(documents[0].kinds[~codes], before[0].kinds[~codes])


def test_an_empty_caption_makes_no_picture_to_ask_for(make_codes):
    record = Record("k", captions=("",), codes=(make_codes(2),))
    assert made(record, "generate", 1000)[0] is None
    assert made(record, "contrastive", 1000)[0] is None
    (document,) = made(record, "caption", 1000)[1]
    assert document.tokens[-2:].tolist() == [WORDS.assistant, WORDS.end]
    np.testing.assert_array_equal(np.flatnonzero(document.kinds), [len(document) - 1])
    assert len(document) == 1 + record.codes[0].master.size + SPAN_EXTRA + 3
