import pytest

from ugf_jax import config
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import SPECIALS, VocabularySettings
from ugf_jax.errors import InputError

TEXT = TextTokenizer.load()


@pytest.mark.parametrize("words", [VocabularySettings(), VocabularySettings(text=5, sizes=1, codes=1)])
def test_every_id_means_one_thing(words):
    specials = [getattr(words, name) for name in SPECIALS]
    sizes = [words.size_token(n) for n in range(1, words.sizes + 1)]
    codes = list(range(words.first_code, words.first_code + words.codes))
    ids = [*range(words.text), *specials, *sizes, *codes]
    assert len(set(ids)) == len(ids) == words.text + 10 + words.sizes + words.codes
    assert specials == list(range(words.text, words.text + 10))
    assert words.first_size == words.text + 16
    assert max(ids) == words.first_code + words.codes - 1 < words.total
    assert words.total % 128 == 0
    assert words.total - max(ids) <= 128


def test_ids_are_described():
    words = VocabularySettings()
    told = [
        words.describe(i, TEXT) for i in (words.boi, words.eoi + 3, words.size_token(16), words.first_code + 7, words.total - 1)
    ]
    assert told == ["<boi>", "<reserved 10>", "size 16", "code 7", f"<unused {words.total - 1}>"]
    assert [words.describe(i, TEXT) for i in TEXT.encode("a red\n")] == ["a", " red", r"\n"]
    names = [words.describe(i, TEXT) for i in range(words.text, words.first_code + words.codes)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("n", [0, -1, 129])
def test_sizes_beyond_the_vocabulary_are_refused(n):
    with pytest.raises(InputError, match=r"config\.vocabulary\.sizes is 128"):
        VocabularySettings().size_token(n)


def test_a_text_tokenizer_must_fit():
    VocabularySettings().check_text(TEXT)
    VocabularySettings(text=5000).check_text(TEXT)
    with pytest.raises(InputError, match="is 2047; the text tokenizer has 2048 ids"):
        VocabularySettings(text=2047).check_text(TEXT)
    with pytest.raises(InputError, match="codes"):
        config.parse(VocabularySettings, {"codes": 0})
