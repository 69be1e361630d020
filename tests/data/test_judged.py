"""The document that is judged: a prompt, an image that may be seen from its first token on, and a last token that sees all."""

import numpy as np
import pytest

from ugf_jax.data.judged import FIXED, PAIR, judged_document, judged_row
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

TEXT = TextTokenizer.load()
WORDS = VocabularySettings(text=TEXT.size, sizes=16, codes=100)


def test_the_layout_is_that_of_a_generated_image_but_all_is_given(make_codes):
    codes, prompt = make_codes(1), TEXT.encode("a red circle")
    document = judged_document(prompt, codes, WORDS, image=3)
    rows, columns = codes.kept[-1].shape
    span = [WORDS.boi, WORDS.size_token(rows), WORDS.size_token(columns)]
    span += [*(codes.master.ravel().astype(int) + WORDS.first_code).tolist(), WORDS.eoi]
    assert document.tokens.tolist() == [WORDS.user, *prompt, WORDS.end, WORDS.assistant, *span, WORDS.end]
    assert not document.kinds.any()
    (image,) = document.spans
    assert (image.image, image.role, image.release) == (3, "context", image.start)
    assert document.auxiliary == sum(int(k.sum()) for k in codes.kept)


def test_a_long_prompt_is_cut_and_an_image_never(make_codes):
    codes, prompt = make_codes(2), TEXT.encode("a red circle " * 40)
    length = codes.master.size + FIXED + 7
    document = judged_document(prompt, codes, WORDS, length)
    assert len(document) == length
    assert document.tokens[1:8].tolist() == prompt[:7]
    assert len(judged_document(prompt[:3], codes, WORDS, length)) == length - 4
    assert len(judged_document(prompt, codes, WORDS, 1)) == codes.master.size + FIXED


def test_a_code_without_a_token_is_refused(make_codes):
    codes = make_codes(1)
    with pytest.raises(InputError, match=r"vocabulary\.codes is 2"):
        judged_document([], codes, VocabularySettings(text=TEXT.size, sizes=16, codes=2))
    assert np.max(codes.master) >= 2


def test_a_row_has_image_and_prompt_apart_as_well_and_the_prompt_is_cut_in_both(make_codes):
    codes, prompt = make_codes(2), TEXT.encode("a red circle " * 40)
    length = 2 * codes.master.size + FIXED + PAIR + 2 * 7 + 1
    (judged,), (picture, words) = judged_row(prompt, codes, WORDS, length, image=3, embedded=True)
    assert judged.tokens.tolist() == judged_document(prompt[:7], codes, WORDS).tokens.tolist()
    assert words.tokens.tolist() == [WORDS.user, *prompt[:7], WORDS.emb]
    assert (picture.tokens[0], picture.tokens[-1], picture.spans[0].image) == (WORDS.boi, WORDS.emb, 3)
    assert len(judged) + len(picture) + len(words) == length - 1
    ((alone,),) = judged_row(prompt, codes, WORDS, length)
    assert len(alone) == length
