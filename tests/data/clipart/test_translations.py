"""Translations are keyed as captions look them up, and are plain English phrases."""

from ugf_jax.data.clipart import captions
from ugf_jax.data.clipart.metadata import Metadata
from ugf_jax.data.clipart.translations import ENGLISH


def test_every_key_is_a_cleaned_title_and_every_value_a_phrase():
    assert len(ENGLISH) > 300
    for title, english in ENGLISH.items():
        assert title == title.strip().lower()
        assert english == english.strip().lower()
        assert english.isascii()
        assert captions.subject("unsorted/x.png", Metadata(title=title)) == english, title
