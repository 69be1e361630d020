import itertools

import pytest

from ugf_jax.data import train_text
from ugf_jax.data.text import SHIPPED, TextTokenizer


def test_training_is_deterministic_and_any_text_comes_back(tmp_path):
    texts = list(itertools.islice(train_text.corpus(), 300))
    first, second = (train_text.train(iter(texts), 400) for _ in range(2))
    assert first.to_str() == second.to_str()
    assert first.get_vocab_size() == 400
    (tmp_path / "tokenizer.json").write_text(first.to_str())
    text = TextTokenizer.load(str(tmp_path / "tokenizer.json"))
    unseen = "Zürich 12:30 – 日本 <s> 😀"
    assert text.decode(text.encode(unseen)) == unseen
    # What was learned from the texts shortens them, and bytes remain for all else.
    assert sum(len(text.encode(t)) for t in texts) < sum(len(t.encode()) for t in texts) / 2
    assert len(text.encode("日")) == 3


def test_another_corpus_gives_another_tokenizer():
    texts = list(itertools.islice(train_text.corpus(), 100))
    assert train_text.train(texts, 300).to_str() != train_text.train(texts[:50], 300).to_str()


def test_requests_ask_for_subjects_of_the_drawings_in_capitals_and_small(monkeypatch):
    monkeypatch.setattr(train_text, "SCENES", 5)
    texts = set(train_text.corpus())
    assert any(t.startswith("Draw a ") for t in texts)
    assert any(t.startswith("draw a ") for t in texts)
    assert not any("{" in t for t in texts)


@pytest.mark.slow
def test_the_shipped_file_is_what_the_script_makes(tmp_path, capsys):
    train_text.main(tmp_path / "tokenizer.json")
    assert (tmp_path / "tokenizer.json").read_bytes() == SHIPPED.read_bytes()
    assert "2048 entries" in capsys.readouterr().out
