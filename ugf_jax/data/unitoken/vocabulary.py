"""The token ids of Chameleon's tokenizer as Lumina-mGPT and UniToken use them."""

import dataclasses
import functools

from ugf_jax.config import NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.data.text import TextTokenizer, visible
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

CODES_A_GRID = 2  # a size token counts grids of 32 pixels; a code covers 16


@dataclasses.dataclass(frozen=True)
class UniTokenVocabulary(VocabularySettings):
    """Ids of the published models; smaller models may have others. Structure lies in the middle of the text tokenizer's ids.

    Code n of the image tokenizer is id `first_code + n`; a tokenizer whose ids are in another order is reordered when it is
    imported.
    """

    text: int = setting(65_536, POSITIVE, "ids of the text tokenizer, structure and codes among them")
    sizes: int = setting(128, POSITIVE, "size tokens: grids of 32 pixels that an image may have along a side")
    codes: int = setting(8192, POSITIVE, "codes of the image tokenizer")
    total: int = setting(65_536, POSITIVE, "rows of the embedding table")
    bos: int = setting(0, NOT_NEGATIVE, "<s>, which opens a document")
    pad: int = setting(1, NOT_NEGATIVE, "<pad>")
    first_code: int = setting(4, NOT_NEGATIVE, "code 0")
    eoi: int = setting(8196, NOT_NEGATIVE, "<eoss>, the end of an image")
    boi: int = setting(8197, NOT_NEGATIVE, "<racm3:break>, the beginning of an image")
    sep: int = setting(8198, NOT_NEGATIVE, "<sentinel:0>, before the features of the vision tower")
    end: int = setting(8710, NOT_NEGATIVE, "<reserved08706>, the end of a turn")
    newline: int = setting(8803, NOT_NEGATIVE, "<reserved08799>, after a row of codes or of features")
    no_size: int = setting(8804, NOT_NEGATIVE, "<reserved08800>; the size token of n grids is n further")
    answer: int = setting(16_853, NOT_NEGATIVE, "text before the BOI of an answer that is an image")

    @property
    def first_size(self) -> int:
        """Size token of one grid."""
        return self.no_size + 1

    def validate(self, path: str) -> None:
        """Refuses ids that the embedding table does not have."""
        for name in ("text", "bos", "pad", "eoi", "boi", "sep", "end", "newline", "answer"):
            if getattr(self, name) >= self.total + (name == "text"):
                raise InputError(f"{path}.{name} is {getattr(self, name)}; want it below {path}.total, {self.total}")
        for name, last in (("codes", self.first_code + self.codes), ("sizes", self.first_size + self.sizes)):
            if last > self.total:
                raise InputError(f"{path}.{name} is {getattr(self, name)}; their ids end at {last}, beyond {path}.total")

    def structure(self) -> frozenset[int]:
        """Ids that text never has: codes, sizes and specials."""
        return _structure(self)

    def describe(self, token: int, text: TextTokenizer) -> str:
        """A token for people to read: its text, `<end>`, `size 16`, `code 123`."""
        for name in ("bos", "pad", "eoi", "boi", "sep", "end", "newline"):
            if token == getattr(self, name):
                return f"<{name}>"
        if self.first_code <= token < self.first_code + self.codes:
            return f"code {token - self.first_code}"
        if self.no_size < token <= self.no_size + self.sizes:
            return f"size {token - self.no_size}"
        return visible(text.token(token)) if 0 <= token < self.text else f"<unused {token}>"


@functools.lru_cache(maxsize=8)
def _structure(words: UniTokenVocabulary) -> frozenset[int]:
    codes = range(words.first_code, words.first_code + words.codes)
    sizes = range(words.no_size, words.first_size + words.sizes)
    return frozenset((words.bos, words.pad, words.eoi, words.boi, words.sep, words.end, words.newline, *codes, *sizes))
