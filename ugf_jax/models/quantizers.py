"""The quantizers behind one interface: continuous features to codes of a finite codebook, and back.

FSQ has no state. VQ learns its codebook by moving averages, a product of VQs one for each part of the features; SimVQ learns a
linear map of a frozen one.
"""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.config import FRACTION, NOT_NEGATIVE, POSITIVE, one_of, setting
from ugf_jax.errors import InputError
from ugf_jax.models.fsq import FSQ
from ugf_jax.models.linear import Linear
from ugf_jax.models.product_vq import ProductVQ
from ugf_jax.models.simvq import SimVQ
from ugf_jax.models.vq import VQ


@dataclasses.dataclass(frozen=True)
class QuantizerSettings:
    """Which quantizer, and its codebook."""

    kind: str = setting(
        "fsq", one_of("fsq", "vq", "product", "simvq"), "fsq: rounding; vq, product: moving averages; simvq: mapped codebook"
    )
    levels: tuple[int, ...] = setting(
        (8, 8, 8, 6, 5), ("2 or more", lambda x: x >= 2), "fsq: levels of each feature; product: codes of each part"
    )
    size: int = setting(8192, POSITIVE, "vq, simvq: number of codes")
    features: int = setting(16, POSITIVE, "vq, simvq: features of a code; product: of each part")
    commitment: float = setting(0.25, NOT_NEGATIVE, "all but fsq: weight that pulls the encoder to its codes")
    decay: float = setting(0.99, FRACTION, "vq, product: of the moving averages")
    restart: float = setting(
        0.1, NOT_NEGATIVE, "vq, product: a code used less than this part of the mean is moved onto an input"
    )

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return math.prod(self.levels) if self.kind in ("fsq", "product") else self.size

    @property
    def code_features(self) -> int:
        """Features of one code."""
        return {"fsq": len(self.levels), "product": len(self.levels) * self.features}.get(self.kind, self.features)

    def validate(self, path: str) -> None:
        """Raises InputError for a codebook that int32 cannot number."""
        if self.codebook_size > 2**30:
            raise InputError(f"{path}.levels: {self.codebook_size} codes; want at most {2**30}")


@flax.struct.dataclass
class Quantized:
    """What a quantizer returns.

    Attributes:
      value: `[..., groups, features]` of the codes, with a gradient to the input.
      index: int32 `[..., groups]`.
      loss: scalar to add to the training loss.
    """

    value: jax.Array
    index: jax.Array
    loss: jax.Array


def make_codebook(settings: QuantizerSettings, parts: tuple[int, ...] = ()) -> FSQ | VQ | ProductVQ | SimVQ:
    """The quantizer proper. Called with `(x, weights, key)` it gives `(value, index, loss)`; `lookup(index)` gives values.

    `parts` are the features of each part of a product where they differ.
    """
    if settings.kind == "vq":
        return VQ(settings.size, settings.features, settings.commitment, settings.decay, settings.restart)
    if settings.kind == "product":
        parts = parts or (settings.features,) * len(settings.levels)
        return ProductVQ(settings.levels, parts, settings.commitment, settings.decay, settings.restart)
    if settings.kind == "simvq":
        return SimVQ(settings.size, settings.features, settings.commitment)
    return FSQ(settings.levels)


class Quantizer(nn.Module):
    """Tokens to code groups and back to tokens, with the projections on both sides.

    The input must be normalised (a `GridStack` ends in a norm): without that, FSQ uses a few dozen of its thousands of codes.

    Attributes:
      settings: which quantizer.
      width: features of a token that comes back.
      groups: codes of one token.
      dtype: of the projection out; quantization itself is in float32.
      parts: see `make_codebook`.
    """

    settings: QuantizerSettings
    width: int
    groups: int = 1
    dtype: Any = jnp.float32
    parts: tuple[int, ...] = ()

    def setup(self) -> None:
        self.project_in = Linear(self.groups * self.settings.code_features, use_bias=True)
        self.project_out = Linear(self.width, True, self.dtype, bias_init=nn.initializers.normal(1.0))
        self.codebook = make_codebook(self.settings, self.parts)

    def __call__(self, x: jax.Array, kept: jax.Array | None, key: jax.Array | None) -> Quantized:
        """Quantizes tokens.

        Args:
          x: `[batch, rows, columns, features]`, normalised.
          kept: bool `[batch, rows, columns]` of tokens that count in the loss and in a learned codebook; None for all.
          key: given in training only: a learned codebook (collection `codebook`, which must then be mutable) is updated, and
            the key chooses the inputs onto which unused codes are moved.
        """
        x = self.project_in(x.astype(jnp.float32)).reshape(*x.shape[:-1], self.groups, self.settings.code_features)
        weights = None if kept is None else jnp.broadcast_to(kept[..., None], x.shape[:-1]).astype(jnp.float32)
        return self.quantize(x, weights, key)

    def quantize(self, x: jax.Array, weights: jax.Array | None, key: jax.Array | None) -> Quantized:
        """Quantizes features `[..., groups, features]` as they are; `weights` is `[..., groups]` or None."""
        return Quantized(*self.codebook(x, weights, key))

    def lookup(self, index: jax.Array) -> jax.Array:
        """Values `[..., groups, features]` of codes `[..., groups]`."""
        return self.codebook.lookup(index)

    def tokens(self, value: jax.Array) -> jax.Array:
        """Values `[..., groups, features]` to tokens `[..., width]`."""
        return self.project_out(value.reshape(*value.shape[:-2], -1).astype(self.dtype))


def usage(index: jax.Array, size: int, kept: jax.Array | None = None) -> jax.Array:
    """How often each code occurs: float32 `[size]`; `kept` (bool, shape of `index`) leaves codes out."""
    weights = jnp.ones(index.shape, jnp.float32) if kept is None else kept.astype(jnp.float32)
    return jnp.zeros(size, jnp.float32).at[index.reshape(-1)].add(weights.reshape(-1))
