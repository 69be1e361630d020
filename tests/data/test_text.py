import json

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ugf_jax.data.text import SHIPPED, TextTokenizer, visible
from ugf_jax.errors import InputError

SHIPPED_TEXT = TextTokenizer.load()
ODD = ("<|image|>", "<s>", "</s>", "<unk>", "<|im_start|>system", "<boi>", "<|endoftext|>", "[CLS] [SEP]", "<tool_call>")


def streamed(text, ids):
    stream = text.stream()
    pieces = [stream.push(i) for i in ids]
    return pieces, "".join(pieces) + stream.finish()


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_comes_back(text):
    ids = SHIPPED_TEXT.encode(text)
    assert SHIPPED_TEXT.decode(ids) == text
    assert all(0 <= i < SHIPPED_TEXT.size for i in ids)
    pieces, whole = streamed(SHIPPED_TEXT, ids)
    assert whole == text
    assert all(piece == "" or piece.isprintable() or not text.isprintable() for piece in pieces)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, SHIPPED_TEXT.size - 1), max_size=40))
def test_a_stream_says_what_decoding_at_once_says_whatever_the_ids(ids):
    assert streamed(SHIPPED_TEXT, ids)[1] == SHIPPED_TEXT.decode(ids)


def test_the_shipped_tokenizer_is_small_and_knows_bytes_digits_and_the_words_of_captions():
    text = SHIPPED_TEXT
    assert text.size == 2048
    assert SHIPPED.stat().st_size < 100_000
    assert json.loads(SHIPPED.read_bytes())["added_tokens"] == []
    assert [text.token(i) for i in text.encode("a red circle and 12 blue stars")] == [
        *("a", " red", " circle", " and", " ", "1", "2", " blue", " stars")
    ]
    assert all(len(text.encode(str(n))) == len(str(n)) for n in (7, 10, 2048, 1234567890))
    assert text.encode("Red") != text.encode("red")
    assert text.encode("") == []


def test_many_texts_are_encoded_as_each_alone():
    texts = ["a red circle", "", "😀", *ODD]
    assert SHIPPED_TEXT.encode_many(texts) == [SHIPPED_TEXT.encode(text) for text in texts]
    assert SHIPPED_TEXT.encode_many([]) == []


def test_a_stream_gives_characters_whole_and_at_once():
    ids = SHIPPED_TEXT.encode("ab😀é")
    pieces, _ = streamed(SHIPPED_TEXT, ids)
    assert [p for p in pieces if p] in (["a", "b", "😀", "é"], ["ab", "😀", "é"])
    # Half a character: nothing until it is known to be wrong, then a mark for it.
    half = SHIPPED_TEXT.encode("😀")[:2]
    pieces, whole = streamed(SHIPPED_TEXT, half)
    assert pieces == ["", ""]
    assert whole == SHIPPED_TEXT.decode(half) != ""
    assert streamed(SHIPPED_TEXT, [*half, *SHIPPED_TEXT.encode("a")])[0][-1].endswith("a")


def test_tokens_are_shown_one_by_one():
    assert [SHIPPED_TEXT.token(i) for i in SHIPPED_TEXT.encode("é")] == ["<0xC3>", "<0xA9>"]
    assert visible("a\nb\x1b[31m é😀") == r"a\nb\x1b[31m é😀"


# Tokenizers of other families, each with its own way of treating added tokens.
CORPUS = [
    "a red circle on a blue background",
    "two cats and a dog",
    "<s> </s> <unk> [CLS] [SEP]",
    "0123456789 <|>/_ tool call",
] * 4
ADDED = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|image|>", "[CLS]", "[SEP]"]


def byte_level():
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    made.add_special_tokens(ADDED)
    made.add_tokens([AddedToken("<tool_call>", special=False, normalized=False), AddedToken("red circle", special=False)])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(t, made.token_to_id(t)) for t in ("<s>", "</s>")]
    )
    made.enable_truncation(4)
    made.enable_padding(length=64)
    return made


def unigram():
    made = tokenizers.Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(vocab_size=100, special_tokens=["<unk>", *ADDED], unk_token="<unk>", show_progress=False),
    )
    return made


def word_piece():
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", *ADDED], show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    return made


def byte_fallback():
    words = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{b:02X}>": 3 + b for b in range(256)} | {"▁": 259, "s": 260, "▁s": 261}
    made = tokenizers.Tokenizer(models.BPE(words, [("▁", "s")], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens(["<unk>", *ADDED])
    return made


FAMILIES = {"byte_level": byte_level, "unigram": unigram, "word_piece": word_piece, "byte_fallback": byte_fallback}
EXACT = ("byte_level", "byte_fallback")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """`foreign(family)`: the library's own tokenizer and ours from the same file."""
    folder = tmp_path_factory.mktemp("tokenizers")

    def load(family):
        path = folder / f"{family}.json"
        if not path.exists():
            FAMILIES[family]().save(str(path))
        return tokenizers.Tokenizer.from_file(str(path)), TextTokenizer.load(str(path))

    return load


@pytest.mark.parametrize("family", FAMILIES)
def test_no_text_becomes_a_special_token(foreign, family):
    theirs, ours = foreign(family)
    special = {i: t.content for i, t in theirs.get_added_tokens_decoder().items() if t.content not in ("<unk>", "[UNK]")}
    assert len(special) >= len(ADDED)
    for content in special.values():  # the file itself does recognise them
        assert set(theirs.encode(f"a {content} b", add_special_tokens=False).ids) & special.keys()
    texts = [form.format(c) for c in special.values() for form in ("{}", "a {} b", "x{}x", "{0}{0}", " {} ")] + list(ODD)
    for text, ids in zip(texts, ours.encode_many(texts), strict=True):
        assert not set(ids) & special.keys(), text
        assert ids, text
        if family in EXACT:
            assert ours.decode(ids) == text


def test_text_is_encoded_as_if_nothing_had_been_added(foreign, tmp_path):
    _, ours = foreign("byte_level")
    settings = json.loads(byte_level().to_str()) | {"added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    bare = TextTokenizer.load(str(tmp_path / "tokenizer.json"))
    for text in ("a red circle", "<tool_call>red circle</s>", *ODD):
        assert ours.encode(text) == bare.encode(text)


@pytest.mark.parametrize("family", EXACT)
def test_text_comes_back_from_foreign_tokenizers_at_once_and_in_a_stream(foreign, family):
    _, ours = foreign(family)
    for text in ("a red circle", "  two  spaces ", "é 😀\n\tsss", "so <s>s</s> s", "日本語", "x" * 200):
        ids = ours.encode(text)
        assert ours.decode(ids) == text  # neither cut nor filled up nor framed, whatever the file says
        assert streamed(ours, ids)[1] == text
        assert max(ids) < ours.size


def test_a_stream_keeps_the_spaces_of_decoders_that_look_back(foreign):
    _, ours = foreign("unigram")
    ids = ours.encode("a red circle on a blue background")
    assert streamed(ours, ids)[1] == ours.decode(ids) == "a red circle on a blue background"


def test_sizes_and_digests(foreign):
    theirs, ours = foreign("byte_level")
    assert ours.size == theirs.get_vocab_size() == len(theirs.get_vocab())
    assert ours.digest != SHIPPED_TEXT.digest
    assert TextTokenizer.load(str(SHIPPED)).digest == SHIPPED_TEXT.digest


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"\x00\xff", "not JSON"),
        (b"[1, 2]", 'has no "model"'),
        (b'{"model": {"type": "None"}}', "not a tokenizer"),
        (b'{"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": [5]}', '"added_tokens" is no list'),
        (b'{"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": [{"id": 1}]}', "not a tokenizer"),
    ],
)
def test_what_is_no_tokenizer_ends_in_one_line(tmp_path, content, words):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        TextTokenizer.load(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_half_a_surrogate_pair_is_refused_in_one_line():
    for texts in (["a\ud800"], ["fine", "a\ud800"]):
        with pytest.raises(InputError, match=r"'a\\ud800' is not well formed"):
            SHIPPED_TEXT.encode_many(texts)
