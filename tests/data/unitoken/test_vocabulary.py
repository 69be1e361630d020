"""The ids of the published models."""

import pytest

from ugf_jax import config
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError


def test_ids_are_those_of_the_published_models():
    words = UniTokenVocabulary()
    assert (words.first_code, words.first_code + words.codes - 1) == (4, 8195)
    assert (words.boi, words.eoi, words.sep, words.newline, words.end) == (8197, 8196, 8198, 8803, 8710)
    assert words.size_token(16) == 8820
    assert words.total == 65_536


def test_structure_has_an_id_of_its_own_for_everything(words):
    assert words.structure() == set(range(2)) | set(range(4, 33))
    assert len(words.structure()) == 7 + words.codes + words.sizes + 1  # and the size token of no grid


def test_ids_beyond_the_table_are_refused():
    with pytest.raises(InputError, match=r"v\.newline is 8803; want it below v\.total, 100"):
        config.parse(UniTokenVocabulary, {"text": 90, "total": 100, "eoi": 1, "boi": 2, "sep": 3, "end": 4}, "v")
    with pytest.raises(InputError, match=r"vocabulary\.sizes is 7; an image with a grid of 8"):
        UniTokenVocabulary(sizes=7).size_token(8)


def test_tokens_are_shown_by_name(words, text):
    shown = [words.describe(token, text) for token in (0, 4, 20, 24, 26, 33, 34)]
    assert shown == ["<bos>", "code 0", "<eoi>", "<newline>", "size 1", " ", "a"]
