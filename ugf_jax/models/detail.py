"""The detail model: auxiliary codes from the coarse image alone, by a transformer that fills in masked codes.

Bidirectional and windowed, so one call predicts every code of an image at a cost linear in its pixels (MaskGIT, Chang et al.
2022). It stands outside the fusion transformer: what it sees is `up`, the coarse image enlarged, and the codes known so far.

A code of a finite scalar quantizer is a number of several digits, one for each feature, and is learned as such: embedded digit
by digit and predicted digit by digit, so 15,360 codes need 35 logits. Digits of one code are anything but independent; `links`,
a table of how the choice of one changes the logits of those after it, makes up for most of that. One softmax over all codes is
a little better still where the codebook is small.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.config import POSITIVE, one_of, setting
from ugf_jax.errors import InputError
from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.blocks import GridStack
from ugf_jax.models.digits import Digits
from ugf_jax.models.linear import Linear
from ugf_jax.models.master import check_heads
from ugf_jax.models.patches import PatchEmbedding

WAVES = 8  # in which the share of masked codes is given
CERTAIN = 50.0  # a logit


@dataclasses.dataclass(frozen=True)
class DetailSettings:
    """Size of the detail model."""

    width: int = setting(512, POSITIVE, "features of a token")
    depth: int = setting(8, POSITIVE, "blocks; even, every second one has shifted windows")
    heads: int = setting(8, POSITIVE, "attention heads")
    window: int = setting(8, POSITIVE, "positions a side of an attention window")
    digits: bool = setting(
        True, doc="fsq: predict a code feature by feature; False: one softmax, for up to a few thousand codes"
    )
    dtype: str = setting("float32", one_of("float32", "bfloat16"), "of the computation; parameters are float32")
    remat: bool = setting(False, doc="recompute blocks in the backward pass: less memory, a third more time")

    def validate(self, path: str) -> None:
        """Raises InputError for sizes that do not fit together."""
        check_heads(self.width, self.heads, path)
        if self.depth % 2:
            raise InputError(f"{path}.depth is {self.depth}; want an even number, every second layer has shifted windows")


@flax.struct.dataclass
class DetailLogits:
    """What the detail model says of every position, known or not; float32.

    Attributes:
      codes: `[batch, rows, columns, groups, values]`; `Digits.parts` splits the last axis.
      kept: `[batch, rows, columns]`, the logit of the position being coded rather than skipped.
      links: `[groups, values, values]`, what each value of a digit adds to the logits of later digits; None for one digit.
    """

    codes: jax.Array
    kept: jax.Array
    links: jax.Array | None


class DetailModel(nn.Module):
    """Logits of auxiliary codes, given the coarse image and some of the codes. Any size; the cost is linear in pixels.

    Attributes:
      settings: sizes.
      auxiliary: of the tokenizer whose codes these are: patch, groups, codebook, levels.
    """

    settings: DetailSettings
    auxiliary: AuxiliarySettings

    @property
    def digits(self) -> Digits:
        """How codes are split."""
        return Digits.of(self.auxiliary.quantizer, self.settings.digits)

    @property
    def skips(self) -> bool:
        """Whether the tokenizer ever skips a position; if not, it is not predicted."""
        return self.auxiliary.keep < 1 or self.auxiliary.threshold > 0

    @nn.compact
    def __call__(self, up: jax.Array, index: jax.Array, masked: jax.Array, kept: jax.Array, level: int = 0) -> DetailLogits:
        """Predicts one level.

        Args:
          up: `[batch, h, w, 3]` in [-1, 1], the image of the level below at this level's size.
          index: int32 codes `[batch, rows, columns, groups]`; those masked or skipped do not matter.
          masked: bool, like `index`: which codes are not known.
          kept: bool `[batch, rows, columns]`, False where a position is known to be skipped, which is where nothing is masked
            and nothing kept. Where every group is masked it does not matter: then that is not known either.
          level: number of the level, from the coarsest.
        """
        s, a, digits = self.settings, self.auxiliary, self.digits
        dtype: Any = jnp.dtype(s.dtype)

        def table(name: str, rows: int, scale: float = 0.02) -> jax.Array:
            return self.param(name, nn.initializers.normal(scale), (rows, s.width), jnp.float32).astype(dtype)

        # All codes of a position together count about as much as its patch of `up`.
        codes = table("embed_codes", a.groups * digits.values, (a.groups * len(digits.bases)) ** -0.5)
        rows = digits.rows(index) + digits.values * np.arange(a.groups, dtype=np.int32)[:, None]
        known = ~masked & kept[..., None]
        embedded = jnp.where(known[..., None], jnp.sum(codes[rows], axis=-2), 0)
        embedded += jnp.where(masked[..., None], table("embed_masked", a.groups), 0)
        state = jnp.where(jnp.all(masked, axis=-1), 2, kept.astype(jnp.int32))  # skipped, kept, not known
        share = jnp.mean(masked, axis=(1, 2, 3), dtype=jnp.float32)
        waves = jnp.cos(np.pi * np.arange(WAVES) * share[:, None])

        x = PatchEmbedding(a.patch, s.width, dtype, name="embed")(up)
        x += jnp.sum(embedded, axis=-2) + table("embed_state", 3)[state] + table("embed_level", a.levels)[level]
        x += Linear(s.width, dtype=dtype, name="embed_share")(waves)[:, None, None]
        x = GridStack(s.depth, s.heads, s.window, dtype, s.remat, name="layers")(x)
        return self._logits(x)

    def _logits(self, x: jax.Array) -> DetailLogits:
        """Features `[batch, rows, columns, width]` to logits."""
        groups, digits = self.auxiliary.groups, self.digits
        values = groups * digits.values
        head = Linear(values + self.skips, True, x.dtype, nn.initializers.zeros, name="predict")
        logits = head(x).astype(jnp.float32)
        kept = logits[..., values] if self.skips else jnp.full(x.shape[:-1], CERTAIN)
        links = None
        if len(digits.bases) > 1:
            shape = (groups, digits.values, digits.values)
            links = self.param("links", nn.initializers.zeros, shape, jnp.float32) * digits.earlier
        return DetailLogits(logits[..., :values].reshape(*x.shape[:-1], groups, digits.values), kept, links)


def linked(logits: DetailLogits, index: jax.Array, digits: Digits) -> jax.Array:
    """Logits `[batch, rows, columns, groups, values]` of each digit, given the earlier digits of the same code in `index`."""
    if logits.links is None:
        return logits.codes
    chosen = jnp.sum(jax.nn.one_hot(digits.rows(index), digits.values), axis=-2)
    return logits.codes + jnp.einsum("...gv,gvw->...gw", chosen, logits.links)
