"""Folder tables hold what captions need of them."""

from ugf_jax.data.clipart import wording


def test_patterns_take_exactly_one_subject():
    for pattern, _ in wording.PATTERNS.values():
        assert pattern.count("{}") == 1
        assert "flag" in pattern.format("flag")


def test_a_full_deck():
    assert len(wording.SUITS) * len(wording.RANKS) == 52


def test_words_are_single_and_in_one_list():
    assert not wording.MASS_NOUNS & wording.PLURALS
    assert all(" " not in w for w in wording.MASS_NOUNS | wording.PLURALS | wording.PROPER)
