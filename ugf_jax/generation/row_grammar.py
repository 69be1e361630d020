"""UniToken's spans: codes row by row, a newline after each, as many as the size tokens say.

    text ──► BOI ──► height ──► width ──► (a row of codes ──► newline) × rows ──► EOI ──► END, or text again

Sizes are those of the request, so that every row of a batch may draw another; outside an image everything may be said.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.data.documents import SPAN_EXTRA
from ugf_jax.data.unitoken.layout import read_images
from ugf_jax.data.unitoken.vocabulary import CODES_A_GRID, UniTokenVocabulary
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.generation.grammar import CLOSE, CODES, NEWLINE, Grammar, Rows


@dataclasses.dataclass(frozen=True)
class RowGrammar(Grammar):
    """What rows of UniToken may hold; `grid` is not read."""

    vocabulary: UniTokenVocabulary

    def length(self, size: tuple[int, int]) -> int:
        """Tokens of an image of `size` grids of 32 pixels (height, width)."""
        height, width = (n * CODES_A_GRID for n in size)
        return height * (width + 1) + SPAN_EXTRA

    def needed(self, rows: Rows) -> jax.Array:
        """Tokens of the next image of each row, int32 `[rows]`."""
        height, width = self._sides(rows)
        return height * (width + 1) + SPAN_EXTRA

    def images(self, tokens: np.ndarray) -> list[np.ndarray]:
        """Codes int32 `[rows, columns]` of each whole image in a row of tokens `[n]`, in order."""
        return read_images(tokens, self.vocabulary)

    @property
    def window(self) -> tuple[int, int]:
        """First and one past the last id that the model ever chooses."""
        words = self.vocabulary
        return (words.first_code, words.first_code + words.codes) if self.mode == "draw" else (0, words.total)

    def forced(self, rows: Rows) -> jax.Array:
        """int32 `[rows]`, the only token allowed, or -1 where the model chooses."""
        return jnp.where(rows.phase == NEWLINE, self.vocabulary.newline, super().forced(rows))

    def allowed(self, rows: Rows) -> jax.Array:
        """What the model may choose, bool `[rows, ids of the window]`.

        Codes inside an image; elsewhere anything, as in the original, but an image that does not fit or is not wanted.
        """
        words = self.vocabulary
        ids = jnp.arange(*self.window)
        codes = (ids >= words.first_code) & (ids < words.first_code + words.codes)
        draws = (rows.left >= self.needed(rows)) & (self.mode == "free")
        text = (ids != words.boi) | draws[:, None]
        return jnp.where(rows.in_image[:, None], codes, text) | (self.forced(rows) >= 0)[:, None]

    def after_code(self, rows: Rows, cell: jax.Array) -> jax.Array:
        """A newline where the row of codes is full."""
        return jnp.where(cell % jnp.maximum(self._sides(rows)[1], 1) == 0, NEWLINE, CODES)

    def after_line(self, rows: Rows, cell: jax.Array) -> jax.Array:
        """The end of the image after its last row."""
        height, width = self._sides(rows)
        return jnp.where(cell >= height * width, CLOSE, CODES)

    def _sides(self, rows: Rows) -> tuple[jax.Array, jax.Array]:
        """Rows and columns of codes, int32 `[rows]` each."""
        height, width = ((token - self.vocabulary.no_size) * CODES_A_GRID for token in (rows.height, rows.width))
        return height, width


def make_grammar(vocabulary: VocabularySettings, grid: int, mode: str) -> Grammar:
    """The grammar of a vocabulary's documents."""
    kind = RowGrammar if isinstance(vocabulary, UniTokenVocabulary) else Grammar
    return kind(vocabulary, grid, mode)  # type: ignore[arg-type]
