"""What is judged: an answer to a prompt for DPO, and all documents that a reward model reads, laid out as in training."""

import numpy as np
import pytest

from ugf_jax.data.collate import collate_row
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.documents import CODE, NEVER, SPAN_EXTRA, TEXT
from ugf_jax.data.judged import ANSWER, DESCRIBED, DRAWN, EMBEDDED, READ, UNPROMPTED, judged_document, judged_row
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

TOKENIZER = TextTokenizer.load()
WORDS = VocabularySettings(text=TOKENIZER.size, sizes=16, codes=100)


def span_of(codes):
    rows, columns = codes.kept[-1].shape
    master = (codes.master.ravel().astype(int) + WORDS.first_code).tolist()
    return [WORDS.boi, WORDS.size_token(rows), WORDS.size_token(columns), *master, WORDS.eoi]


def test_the_layout_is_that_of_a_generated_image_but_all_is_given(make_codes):
    codes, prompt = make_codes(1), TOKENIZER.encode("a red circle")
    document = judged_document(prompt, codes, WORDS, image=3)
    assert document.tokens.tolist() == [WORDS.user, *prompt, WORDS.end, WORDS.assistant, *span_of(codes), WORDS.end]
    assert not document.kinds.any()
    (image,) = document.spans
    assert (image.image, image.role, image.release) == (3, "context", image.start)
    assert document.auxiliary == sum(int(k.sum()) for k in codes.kept)


def test_a_reward_model_reads_the_image_described_drawn_for_the_prompt_and_drawn_for_nothing(make_codes):
    codes, prompt = make_codes(1), TOKENIZER.encode("a red circle")
    (described,), (drawn,), (unprompted,), (picture, words) = judged_row(EMBEDDED, prompt, codes, WORDS, 500, image=3)
    span = span_of(codes)
    assert described.tokens.tolist() == [WORDS.user, *span, WORDS.end, WORDS.assistant, *prompt, WORDS.end]
    assert described.tokens[described.kinds == TEXT].tolist() == [*prompt, WORDS.end]
    assert drawn.tokens.tolist() == [WORDS.user, *prompt, WORDS.end, WORDS.assistant, *span]
    assert unprompted.tokens.tolist() == span
    for document in (drawn, unprompted):
        assert document.tokens[document.kinds == CODE].tolist() == span[3:-1]
        assert document.spans[0].release == NEVER  # details would tell the codes
    assert (picture.tokens.tolist(), words.tokens.tolist()) == ([*span, WORDS.emb], [WORDS.user, *prompt, WORDS.emb])
    assert {document.spans[0].image for document in (described, drawn, unprompted, picture)} == {3}
    numbers = {DESCRIBED: described, DRAWN: drawn, UNPROMPTED: unprompted}
    memory = sum(document.auxiliary for document in (described, drawn, unprompted, picture))
    row = collate_row(judged_row(EMBEDDED, prompt, codes, WORDS, 500), RowShape(500, memory, 1), 2, WORDS.pad)
    for number, document in numbers.items():
        assert row["tokens"][row["segments"] == number].tolist() == document.tokens.tolist()
    assert memory == EMBEDDED.seen * described.auxiliary


@pytest.mark.parametrize("kind", [ANSWER, READ, EMBEDDED])
def test_a_long_prompt_is_cut_to_what_the_row_has_room_for_and_an_image_never(make_codes, kind):
    codes, prompt = make_codes(2), TOKENIZER.encode("a red circle " * 40)
    fixed = kind.others + kind.spans * (codes.master.size + SPAN_EXTRA)
    for length in range(fixed + 7 * kind.prompts, fixed + 8 * kind.prompts):
        documents = [document for item in judged_row(kind, prompt, codes, WORDS, length) for document in item]
        assert sum(map(len, documents)) == fixed + 7 * kind.prompts
        assert kind.room(length, np.array([codes.master.size])) == 7
    assert sum(len(d) for item in judged_row(kind, prompt, codes, WORDS, 1) for d in item) == fixed
    assert sum(d.auxiliary for item in judged_row(kind, [], codes, WORDS, 99) for d in item) % kind.seen == 0
    assert sum(len(item) == 2 for item in judged_row(kind, [], codes, WORDS, 99)) == kind.pairs


def test_a_code_without_a_token_is_refused(make_codes):
    codes = make_codes(1)
    with pytest.raises(InputError, match=r"vocabulary\.codes is 2"):
        judged_document([], codes, VocabularySettings(text=TOKENIZER.size, sizes=16, codes=2))
    assert np.max(codes.master) >= 2
