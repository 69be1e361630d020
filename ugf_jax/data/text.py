"""Text to token ids and back, by any `tokenizer.json` of the `tokenizers` library; a small byte-level BPE is shipped.

Whatever a user writes stays text: the added tokens of a tokenizer (`<s>`, `<|im_end|>`, …) are never recognised in it. The
structure of documents has ids of its own (`ugf_jax.data.vocabulary`).
"""

import functools
import hashlib
import itertools
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import tokenizers

import ugf_jax
from ugf_jax.data.stores import as_path
from ugf_jax.errors import InputError

SHIPPED = pathlib.Path(ugf_jax.__file__).parent / "assets" / "text" / "tokenizer.json"
_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class TextTokenizer:
    """A text tokenizer. Encoding and decoding are safe from many threads.

    Attributes:
      size: one more than the largest id.
      digest: SHA-256 of the file.
      added: ids of the added tokens, by what they look like.
    """

    def __init__(self, content: bytes, name: str):
        """Use `TextTokenizer.load`."""
        self.digest = hashlib.sha256(content).hexdigest()
        settings = _settings(content, name)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(settings))
        except Exception as error:  # the library raises nothing more precise
            raise InputError(f"{name}: not a tokenizer ({error}); want a tokenizer.json of Hugging Face tokenizers") from error
        self._tokenizer.encode_special_tokens = True
        self.size = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        added = sorted((token["content"] for token in settings["added_tokens"]), key=len, reverse=True)
        unknown = settings["model"].get("unk_token"), settings["model"].get("unk_id")  # text may well be unknown
        self._special = {i for a in added if (i := self._tokenizer.token_to_id(a)) != unknown[1] and a != unknown[0]}
        self.added = {a: i for a in added if (i := self._tokenizer.token_to_id(a)) is not None}
        self._marks = re.compile("|".join(map(re.escape, added)))

    @classmethod
    def load(cls, path: str = "") -> "TextTokenizer":
        """The tokenizer in a `tokenizer.json`, or the shipped one for "".

        Raises:
          InputError: the file is missing or is not a tokenizer.
        """
        return _load(as_path(path) if path else SHIPPED)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without anything added to it.

        Raises:
          InputError: the text is not well formed: it holds half a surrogate pair.
        """
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text.

        Raises:
          InputError: a text is not well formed.
        """
        found = self._encode(texts)
        if self._special:
            for i, ids in enumerate(found):
                if not self._special.isdisjoint(ids):
                    found[i] = self._encode_in_parts(texts[i])
        return found

    def encode_trusted(self, text: str) -> list[int]:
        """Ids of a text that a program has written: added tokens in it are what they look like."""
        return self._trusting.encode(text, add_special_tokens=False).ids

    @functools.cached_property
    def _trusting(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self._tokenizer.to_str())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; bytes that are no UTF-8 become replacement characters."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def token(self, token: int) -> str:
        """The text of one id; the bytes of part of a character as `<0xE2>`."""
        text = self.decode([token])
        if _INCOMPLETE not in text:
            return text
        piece = self._tokenizer.id_to_token(token) or ""
        characters = [_BYTES.get(c) for c in piece]
        return "".join(f"<0x{b:02X}>" for b in characters if b is not None) if None not in characters else piece

    def stream(self) -> "TextStream":
        """A decoder for ids that come one by one."""
        return TextStream(self)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        try:
            if len(texts) == 1:
                return [self._tokenizer.encode(texts[0], add_special_tokens=False).ids]
            return [e.ids for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        except TypeError as error:  # what the library says to half a surrogate pair
            wrong = next((text for text in texts if any("\ud800" <= c <= "\udfff" for c in text)), "")
            raise InputError(f"text '{visible(wrong[:80])}' is not well formed; want what UTF-8 can hold") from error

    def _encode_in_parts(self, text: str) -> list[int]:
        """Some models (Unigram, WordPiece) have the special tokens among their words; a word cut in two is none of them."""
        cuts = {cut for match in self._marks.finditer(text) for cut in range(match.start(), match.end() + 1)}
        bounds = sorted(cuts | {0, len(text)})
        parts = [text[a:b] for a, b in itertools.pairwise(bounds)]
        return [i for ids in self._encode(parts) for i in ids if i not in self._special]


class TextStream:
    """Decodes ids as they come; what `push` and `finish` return together is the text of all ids."""

    def __init__(self, tokenizer: TextTokenizer):
        """Starts an empty text."""
        self._tokenizer = tokenizer
        self._before: list[int] = []  # ids whose text was given last: some decoders look at what comes before
        self._waiting: list[int] = []  # ids whose text was not given yet

    def push(self, token: int) -> str:
        """Adds an id; returns the text that is complete now, often empty where a character is split over several ids."""
        self._waiting.append(token)
        text = self._text()
        if not text or text.endswith(_INCOMPLETE):
            return ""
        self._before, self._waiting = self._waiting, []
        return text

    def finish(self) -> str:
        """The rest, where the last character was never completed."""
        text = self._text() if self._waiting else ""
        self._before, self._waiting = [], []
        return text

    def _text(self) -> str:
        before = self._tokenizer.decode(self._before)
        return self._tokenizer.decode(self._before + self._waiting)[len(before) :]


def visible(text: str) -> str:
    """Text on one line in which nothing moves the cursor of a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@functools.lru_cache(maxsize=8)
def _load(path: pathlib.Path) -> TextTokenizer:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); want a tokenizer.json") from error
    return TextTokenizer(content, str(path))


def _settings(content: bytes, name: str) -> dict[str, Any]:
    """The tokenizer's own settings, less what would add to a text, cut it, or find special tokens in it."""
    try:
        settings = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON ({error}); want a tokenizer.json of Hugging Face tokenizers") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        raise InputError(f'{name}: has no "model"; want a tokenizer.json of Hugging Face tokenizers')
    added = settings.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(token, dict) for token in added):
        raise InputError(f'{name}: "added_tokens" is no list of tokens; want a tokenizer.json of Hugging Face tokenizers')
    added = [token | {"special": True} for token in added]
    return settings | {"added_tokens": added, "truncation": None, "padding": None, "post_processor": None}


def _byte_alphabet() -> dict[str, int]:
    """The character that stands for each byte in a byte-level vocabulary (GPT-2): itself where it can be seen."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in seen]
    return {chr(b): b for b in seen} | {chr(256 + n): b for n, b in enumerate(others)}


_BYTES = _byte_alphabet()
