"""Conversations, whole and cut, against a search through all places where one could be cut."""

import numpy as np
import pytest

from ugf_jax.data.documents import IMAGE, NEVER, NOTHING, conversation_pieces, kept_positions
from ugf_jax.data.permutation import key
from ugf_jax.data.recipes import TASKS, RecipeSettings, TaskWeights, build, choose, lengths_of
from ugf_jax.data.records import Record
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings

TEXTS = TextTokenizer.load()
WORDS = VocabularySettings(codes=100)
WEIGHTS = TaskWeights(**{name: float(name == "conversation") for name in TASKS})
MANY = 10**6


def converse(record, length=MANY, auxiliary=MANY, dropout=0.0, number=0):
    settings = RecipeSettings(WEIGHTS, memory_dropout=dropout, length=length, auxiliary=auxiliary)
    recipe = choose(lengths_of(record, TEXTS), key(3, number)[0], settings)
    return build(recipe, record, TEXTS, WORDS)[0] if recipe else None


def conversations(make_record, count):
    return [r for r in map(make_record, range(count)) if r.turns]


def unrolled(record):
    """Every token of all turns by the layout, each with whether it is trained on; spans as `(start, end, image, drawn)`."""
    tokens, trained, spans, drawn = [], [], [], False
    opening = {0: WORDS.system, 1: WORDS.user, 2: WORDS.assistant}
    for opens, text in conversation_pieces(record):
        if opens == IMAGE:
            codes = record.codes[len(spans)]
            start, size = len(tokens), codes.master.size
            sizes = [WORDS.size_token(n) for n in codes.kept[-1].shape]
            tokens += [WORDS.boi, *sizes, *(int(c) + WORDS.first_code for c in codes.master.ravel()), WORDS.eoi]
            trained += [drawn, False, False, *[drawn] * size, False]
            spans.append((start, len(tokens) - 1, len(spans), drawn))
        else:
            if tokens:
                tokens.append(WORDS.end)
                trained.append(drawn)
            drawn = opens == 2
            tokens.append(opening[opens])
            trained.append(False)
        ids = TEXTS.encode(text)
        tokens += ids
        trained += [drawn] * len(ids)
    return [*tokens, WORDS.end], [*trained, drawn], spans


def memory(record, tokens, spans, cut):
    """Auxiliary positions that the first `cut` tokens need."""
    need = 0
    for start, end, image, drawn in spans:
        rest = tokens[end + 1 : cut]
        if start < cut and not (drawn and rest in ([], [WORDS.end])):
            need += kept_positions(record.codes[image])
    return need


def best_cut(record, length, auxiliary):
    """The longest start that fits, cuts no image, and ends in something learned; 0 where there is none."""
    tokens, trained, spans = unrolled(record)
    for cut in range(min(length, len(tokens)), 0, -1):
        inside = any(start < cut <= end for start, end, _, _ in spans)
        ends = trained[cut - 1] or any(end == cut - 1 and drawn for _, end, _, drawn in spans)
        if not inside and ends and memory(record, tokens, spans, cut) <= auxiliary:
            return cut
    return 0


@pytest.mark.parametrize("auxiliary", [MANY, 40, 12, 0])
@pytest.mark.parametrize("length", [MANY, 90, 50, 31, 14, 3, 1])
def test_a_conversation_is_the_longest_start_that_fits(make_record, length, auxiliary):
    found = 0
    for number, record in enumerate(conversations(make_record, 130)):
        document = converse(record, length, auxiliary, number=number)
        cut = best_cut(record, length, auxiliary)
        assert (document is not None) == (cut > 0)
        if document is not None:
            found += 1
            tokens, trained, spans = unrolled(record)
            assert document.tokens.tolist() == tokens[:cut]
            assert (document.kinds != NOTHING).tolist() == trained[:cut]
            assert [(s.start, s.end, s.image, s.role == "generated") for s in document.spans] == [
                s for s in spans if s[1] < cut
            ]
            assert document.auxiliary == memory(record, tokens, spans, cut)
    assert found > 5 or length < 14


def test_dropped_images_are_given_ones_and_need_no_memory(make_record):
    dropped = kept = 0
    for number, record in enumerate(conversations(make_record, 200)):
        document = converse(record, dropout=0.5, number=number)
        for span in document.spans if document else ():
            dropped += span.role == "dropped"
            kept += span.role == "context"
            assert span.role != "dropped" or span.release == NEVER
    assert abs(dropped / (dropped + kept) - 0.5) < 0.1
    with_all = [converse(r, dropout=1.0) for r in conversations(make_record, 60)]
    assert all(s.role in ("dropped", "generated") for d in with_all if d for s in d.spans)


def test_hidden_memory_leaves_room_for_more_turns(make_codes):
    codes = make_codes(1)
    turns = ({"from": "human", "value": "<|image|>"}, {"from": "gpt", "value": "a cat"})
    record = Record("k", turns=turns, codes=(codes,))
    assert converse(record, auxiliary=0) is None
    assert converse(record, auxiliary=0, dropout=1.0) is not None


def test_the_roles_of_a_drawing_conversation(make_codes):
    said = ["<|image|> Make it blue.", "Here: <|image|>", "And larger?", "<|image|>"]
    turns = tuple({"from": "human" if i % 2 == 0 else "gpt", "value": v} for i, v in enumerate(said))
    document = converse(Record("k", turns=turns, codes=tuple(map(make_codes, range(3)))))
    given, used, last = document.spans
    assert (given.role, used.role, last.role) == ("context", "generated", "generated")
    assert (given.release, used.release, last.release) == (given.start, used.end, NEVER)
    assert document.kinds[[given.start, used.start, last.start]].tolist() == [0, 1, 1]
    assert np.all(document.kinds[given.start : given.end + 1] == 0)


def test_a_conversation_in_which_the_model_says_nothing_teaches_nothing():
    assert converse(Record("k", turns=({"from": "human", "value": "hello"},))) is None
    trailing = converse(Record("k", turns=({"from": "gpt", "value": "hello"}, {"from": "human", "value": "bye"})))
    assert TEXTS.decode(trailing.tokens[1:-1].tolist()) == "hello"
    assert trailing.tokens[-1] == WORDS.end
