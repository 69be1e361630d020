"""One space of token ids for text, structure, sizes and image codes.

    [0, text)       ids of the text tokenizer
    16 reserved     the specials in the order of `SPECIALS`; the rest is for later
    sizes           size token n for n = 1 … sizes: rows or columns of an image's finest grid
    codes           master codes of the image tokenizer

The text tokenizer never gives an id beyond its own, so text of a user can never become structure.
"""

import dataclasses

from ugf_jax.config import POSITIVE, setting
from ugf_jax.data.text import TextTokenizer, visible
from ugf_jax.errors import InputError

SPECIALS = ("pad", "bos", "system", "user", "assistant", "end", "boi", "eoi", "sep", "emb")
RESERVED = 16
MULTIPLE = 128  # the embedding table's rows, so that they divide over devices and tiles


@dataclasses.dataclass(frozen=True)
class VocabularySettings:
    """How many ids of each kind there are; everything else about ids follows."""

    text: int = setting(2048, POSITIVE, "ids of the text tokenizer")
    sizes: int = setting(128, POSITIVE, "size tokens: rows and columns that an image's finest grid may have")
    codes: int = setting(1000, POSITIVE, "master codes of the image tokenizer")

    @property
    def pad(self) -> int:
        """Fills what no document uses."""
        return self.text

    @property
    def bos(self) -> int:
        """Opens a document of text alone."""
        return self.text + 1

    @property
    def system(self) -> int:
        """Opens a turn of the system."""
        return self.text + 2

    @property
    def user(self) -> int:
        """Opens a turn of the user."""
        return self.text + 3

    @property
    def assistant(self) -> int:
        """Opens a turn of the model."""
        return self.text + 4

    @property
    def end(self) -> int:
        """Ends a turn, or a text."""
        return self.text + 5

    @property
    def boi(self) -> int:
        """Begins an image."""
        return self.text + 6

    @property
    def eoi(self) -> int:
        """Ends an image."""
        return self.text + 7

    @property
    def sep(self) -> int:
        """Comes before the continuous tokens of an image."""
        return self.text + 8

    @property
    def emb(self) -> int:
        """Where the embedding of a contrastive document is read."""
        return self.text + 9

    @property
    def first_size(self) -> int:
        """Size token 1."""
        return self.text + RESERVED

    @property
    def first_code(self) -> int:
        """Master code 0."""
        return self.first_size + self.sizes

    @property
    def total(self) -> int:
        """Rows of the embedding table: all ids, rounded up to a multiple of 128."""
        return -(-(self.first_code + self.codes) // MULTIPLE) * MULTIPLE

    def size_token(self, n: int) -> int:
        """The token that says "n rows" or "n columns".

        Raises:
          InputError: n is not from 1 to `sizes`.
        """
        if not 1 <= n <= self.sizes:
            raise InputError(
                f"config.vocabulary.sizes is {self.sizes}; an image with a grid of {n} rows or columns wants at least {n}"
            )
        return self.first_size + n - 1

    def check_text(self, text: TextTokenizer, path: str = "config.vocabulary.text") -> None:
        """Refuses a text tokenizer that has more ids than there are rows for text."""
        if text.size > self.text:
            raise InputError(f"{path} is {self.text}; the text tokenizer has {text.size} ids: want at least that")

    def describe(self, token: int, text: TextTokenizer) -> str:
        """A token for people to read: its text, `<end>`, `size 16`, `code 123`."""
        if 0 <= token < self.text:
            return visible(text.token(token))
        if token < self.first_size:
            number = token - self.text
            return f"<{SPECIALS[number]}>" if 0 <= number < len(SPECIALS) else f"<reserved {number}>"
        if token < self.first_code:
            return f"size {token - self.first_size + 1}"
        return f"code {token - self.first_code}" if token < self.first_code + self.codes else f"<unused {token}>"
