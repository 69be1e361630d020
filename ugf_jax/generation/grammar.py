"""Which token may come next: a small state machine for each row, on the device, that forces the structure of image spans.

    text ──► BOI ──► height ──► width ──► codes ──► EOI ──► END, or text again

Most tokens of a span are forced; the model chooses text, whether to draw, and codes. Whatever its logits are, a span is whole:
`BOI, height token, width token, grid² codes, EOI`.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.config import one_of
from ugf_jax.data.documents import SPAN_EXTRA
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.generation.requests import master_codes

# Phases, in the order of a span. A row in one of the last two wants no more tokens. Only some grammars have newlines.
TEXT, BEGIN, HEIGHT, WIDTH, CODES, NEWLINE, CLOSE, FINISH, WAITING, DONE = range(10)

MODES = ("draw", "text", "free")
MODE = one_of(*MODES)


@flax.struct.dataclass
class Rows:
    """Where each row stands, int32 `[rows]` each.

    Attributes:
      phase: what comes next.
      cell: number of the next master code of the image, 0 outside an image.
      left: tokens that the row may still get; text is cut there, an image is not begun if it does not fit.
      height, width: size tokens of the images that the row draws.
    """

    phase: jax.Array
    cell: jax.Array
    left: jax.Array
    height: jax.Array
    width: jax.Array

    @property
    def active(self) -> jax.Array:
        """Whether each row gets more tokens now, bool `[rows]`."""
        return self.phase < WAITING

    @property
    def in_image(self) -> jax.Array:
        """Whether the next token of each row is a master code, bool `[rows]`."""
        return self.phase == CODES


@dataclasses.dataclass(frozen=True)
class Grammar:
    """What rows may hold.

    Attributes:
      vocabulary: of the model.
      grid: master codes along a side.
      mode: "draw": one image, then END. "text": text until END. "free": the model decides; a row waits after each image, so
        that its auxiliary memory can be added.
    """

    vocabulary: VocabularySettings
    grid: int
    mode: str

    @property
    def span(self) -> int:
        """Tokens of an image."""
        return self.grid**2 + SPAN_EXTRA

    def length(self, size: tuple[int, int]) -> int:
        """Tokens of an image whose size tokens stand for `size`."""
        return self.span

    def needed(self, rows: Rows) -> jax.Array | int:
        """Tokens of the next image of each row, int32 `[rows]`, or one number for all."""
        return self.span

    def images(self, tokens: np.ndarray) -> list[np.ndarray]:
        """Codes int32 `[rows, columns]` of each whole image in a row of tokens `[n]`, in order."""
        return master_codes(tokens, self.vocabulary, self.grid)

    @property
    def window(self) -> tuple[int, int]:
        """First and one past the last id that the model ever chooses; of no other id are logits needed.

        Forced tokens need none.
        """
        words = self.vocabulary
        last = words.first_code + words.codes
        return {"draw": (words.first_code, last), "text": (0, words.first_size), "free": (0, last)}[self.mode]

    def start(self, left: jax.Array, height: jax.Array, width: jax.Array) -> Rows:
        """Rows before their first token; int32 `[rows]` each. A row with nothing left gets none.

        Args:
          left: tokens that each may get. Mode "draw" wants room for the span and END.
          height, width: size tokens.
        """
        phase = jnp.where(left > 0, BEGIN if self.mode == "draw" else TEXT, DONE)
        return Rows(phase.astype(jnp.int32), jnp.zeros_like(left), left, height, width)

    def forced(self, rows: Rows) -> jax.Array:
        """int32 `[rows]`, the only token allowed, or -1 where the model chooses."""
        words = self.vocabulary
        table: dict[int, jax.Array | int] = {
            BEGIN: words.boi,
            HEIGHT: rows.height,
            WIDTH: rows.width,
            CLOSE: words.eoi,
            FINISH: words.end,
        }
        found = jnp.where(rows.active, -1, words.pad)
        for phase, token in table.items():
            found = jnp.where(rows.phase == phase, token, found)
        return found

    def allowed(self, rows: Rows) -> jax.Array:
        """What the model may choose, bool `[rows, ids of the window]`; everything where a token is forced anyway."""
        words = self.vocabulary
        ids = jnp.arange(*self.window)
        codes = (ids >= words.first_code) & (ids < words.first_code + words.codes)
        text = (ids < words.text) | (ids == words.end)
        fits = rows.left >= self.needed(rows)
        draws = (ids == words.boi) & fits[:, None] if self.mode == "free" else False
        return jnp.where(rows.in_image[:, None], codes, text | draws) | (self.forced(rows) >= 0)[:, None]

    def advance(self, rows: Rows, token: jax.Array) -> Rows:
        """Rows after their next token, int32 `[rows]`; a row that is not active stays as it is."""
        words = self.vocabulary
        left, cell = rows.left - 1, jnp.where(rows.in_image, rows.cell + 1, rows.cell)
        from_text = jnp.where(token == words.boi, HEIGHT, jnp.where((token == words.end) | (left <= 0), DONE, TEXT))
        after: dict[int, jax.Array | int] = {
            TEXT: from_text,
            BEGIN: HEIGHT,
            HEIGHT: WIDTH,
            WIDTH: CODES,
            CODES: self.after_code(rows, cell),
            NEWLINE: self.after_line(rows, cell),
            CLOSE: FINISH if self.mode == "draw" else WAITING,
            FINISH: DONE,
        }
        phase = rows.phase
        for old, new in after.items():
            phase = jnp.where(rows.phase == old, new, phase)
        cell = jnp.where((phase == CODES) | (phase == NEWLINE), cell, 0)
        active = rows.active
        return dataclasses.replace(
            rows, phase=phase, cell=jnp.where(active, cell, rows.cell), left=jnp.where(active, left, rows.left)
        )

    def after_code(self, rows: Rows, cell: jax.Array) -> jax.Array:
        """The phase after a code, int32 `[rows]`; `cell` is the number of the next."""
        return jnp.where(cell == self.grid**2, CLOSE, CODES)

    def after_line(self, rows: Rows, cell: jax.Array) -> jax.Array:
        """The phase after a newline; these spans have none."""
        return jnp.full_like(cell, CODES)

    def go_on(self, rows: Rows) -> Rows:
        """Lets the rows that wait after an image go on with text."""
        after = jnp.where(rows.left > 0, TEXT, DONE)
        return dataclasses.replace(rows, phase=jnp.where(rows.phase == WAITING, after, rows.phase))
