"""A small vocabulary and a small text tokenizer with Chameleon's structure."""

import itertools
import json

import pytest

from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary


@pytest.fixture(scope="session")
def words():
    """Codes 4 … 19, structure 20 … 24, sizes of up to 7 grids, words from 33 on."""
    return UniTokenVocabulary(
        text=48,
        sizes=7,
        codes=16,
        total=48,
        eoi=20,
        boi=21,
        sep=22,
        end=23,
        newline=24,
        no_size=25,
        answer=33,
    )


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    """Single characters as tokens, 33 the space."""
    vocabulary = {"<unk>": 3} | {c: 33 + i for i, c in enumerate(" abcdefghijklm")}
    settings = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": False},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    path = tmp_path_factory.mktemp("text") / "tokenizer.json"
    path.write_text(json.dumps(settings))
    return str(path)


@pytest.fixture(scope="session")
def text(text_file):
    return TextTokenizer.load(text_file)


@pytest.fixture(scope="session")
def take():
    """`take(loader, count, start=0)`: arrays of so many batches."""

    def take(loader, count, start=0):
        stream = loader.iterate(start)
        try:
            return [batch.arrays for batch in itertools.islice(stream, count)]
        finally:
            stream.close()

    return take
