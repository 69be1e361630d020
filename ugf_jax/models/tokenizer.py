"""The dual tokenizer: master codes of the squashed image, then auxiliary codes of what they miss, level by level."""

import dataclasses
import zlib
from typing import Any, overload

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.config import one_of, setting
from ugf_jax.models.auxiliary import AuxiliarySettings, AuxiliaryTokenizer, choose_positions, position_energy
from ugf_jax.models.master import MasterSettings, make_master
from ugf_jax.models.quantizers import usage


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """Everything that decides the shape and the computation of a dual tokenizer."""

    master: MasterSettings = setting(MasterSettings())
    auxiliary: AuxiliarySettings = setting(AuxiliarySettings())
    dtype: str = setting("float32", one_of("float32", "bfloat16"), "of the computation; parameters are float32")
    remat: bool = setting(False, doc="recompute blocks in the backward pass: less memory, a third more time")


@flax.struct.dataclass
class Codes:
    """What a dual tokenizer stores of a batch of images of one bucket.

    Attributes:
      master: int32 `[batch, grid, grid]`.
      auxiliary: one int32 `[batch, rows, columns, groups]` per level, coarse to fine; 0 where skipped.
      kept: one bool `[batch, rows, columns]` per level; False where the position was skipped.
    """

    master: jax.Array
    auxiliary: tuple[jax.Array, ...]
    kept: tuple[jax.Array, ...]


@flax.struct.dataclass
class LevelOutput:
    """One level of the auxiliary tokenizer; images are float32 `[batch, h, w, 3]`.

    Attributes:
      image: what this level should show (the image at this level's size).
      up: the coarser image, clipped to [-1, 1], at this size.
      residual: image - up; no gradient.
      residual_hat: the residual from codes.
      recon: up + residual_hat, not clipped.
      kept: bool `[batch, rows, columns]`.
    """

    image: jax.Array
    up: jax.Array
    residual: jax.Array
    residual_hat: jax.Array
    recon: jax.Array
    kept: jax.Array


@flax.struct.dataclass
class TokenizerOutput:
    """Everything that losses and logs need.

    Attributes:
      low: float32 `[batch, size, size, 3]`, the squashed image.
      recon_low: the master's reconstruction of it, from its own (never corrupted) codes, not clipped.
      levels: one `LevelOutput` per level, coarse to fine.
      recon: the finest level's reconstruction, `[batch, height, width, 3]`, not clipped.
      codes: of this batch.
      losses: scalars of the quantizers, `master_commitment` and `auxiliary_commitment`.
      counts: how often each code was used, float32 `[codebook size]`, under `master` and `auxiliary`.
    """

    low: jax.Array
    recon_low: jax.Array
    levels: tuple[LevelOutput, ...]
    recon: jax.Array
    codes: Codes
    losses: dict[str, jax.Array]
    counts: dict[str, jax.Array]


@flax.struct.dataclass
class Decoded:
    """Attributes: low, the master's image `[batch, size, size, 3]`; up, that at full size; recon, with the details added."""

    low: jax.Array
    up: jax.Array
    recon: jax.Array


@flax.struct.dataclass
class _Levels:
    """All levels coded: outputs, `Codes.auxiliary`, and the mean of the quantizer's losses."""

    outputs: tuple[LevelOutput, ...]
    codes: tuple[jax.Array, ...]
    loss: jax.Array


def resize(image: jax.Array, height: int, width: int) -> jax.Array:
    """Cubic resampling `[batch, height, width, channels]`, antialiased where it shrinks."""
    if image.shape[1:3] == (height, width):
        return image
    return jax.image.resize(image, (image.shape[0], height, width, image.shape[3]), "cubic", antialias=True)


def coarser(recon: jax.Array, height: int, width: int) -> jax.Array:
    """A reconstruction as the next level sees it: clipped to what an image can show, and at that level's size."""
    return resize(jnp.clip(recon, -1, 1), height, width)


def level_sizes(height: int, width: int, levels: int, patch: int) -> list[tuple[int, int]]:
    """Pixels (height, width) of each level, coarse to fine: halves of the next, rounded up to whole patches."""

    def size(side: int, halvings: int) -> int:
        return -(-side // (patch << halvings)) * patch

    return [(size(height, n), size(width, n)) for n in reversed(range(levels))]


def corrupt(index: jax.Array, size: int, most: float, key: jax.Array) -> jax.Array:
    """Makes a random part, up to `most`, of each image's codes `[batch, grid, grid]` random ones of a codebook of `size`."""
    part_key, where_key, code_key = jax.random.split(key, 3)
    part = jax.random.uniform(part_key, (index.shape[0], 1, 1), maxval=most)
    codes = jax.random.randint(code_key, index.shape, 0, size)
    return jnp.where(jax.random.uniform(where_key, index.shape) < part, codes, index)


@overload
def derive(key: jax.Array, name: str) -> jax.Array: ...
@overload
def derive(key: None, name: str) -> None: ...
def derive(key: jax.Array | None, name: str) -> jax.Array | None:
    """A key of its own for each use, by name; None outside training."""
    return None if key is None else jax.random.fold_in(key, zlib.crc32(name.encode()))


class DualTokenizer(nn.Module):
    """Images to codes and back; see the module docstring. Images are float32 `[batch, height, width, 3]` in [-1, 1].

    Height and width are multiples of the auxiliary patch. Variables: `params` (`master`, `auxiliary`) and, for quantizers
    that learn by moving averages, `codebook`.
    """

    settings: TokenizerSettings

    def setup(self) -> None:
        dtype: Any = jnp.dtype(self.settings.dtype)
        self.master = make_master(self.settings.master, dtype, self.settings.remat)
        self.auxiliary = AuxiliaryTokenizer(self.settings.auxiliary, dtype, self.settings.remat)

    def __call__(self, image: jax.Array, train: bool = False, key: jax.Array | None = None) -> TokenizerOutput:
        """Codes and reconstructs a batch.

        Args:
          image: `[batch, height, width, 3]` in [-1, 1].
          train: corrupt master codes, drop auxiliary codes, update learned codebooks (`codebook` must be mutable).
          key: random key; needed if `train`.
        """
        if train and key is None:
            raise ValueError("training needs a random key")
        return self._code(image, self.settings.auxiliary.keep, self.settings.auxiliary.threshold, key if train else None)

    def encode(self, image: jax.Array, keep: float | None = None, threshold: float | None = None) -> Codes:
        """Codes of `[batch, height, width, 3]` in [-1, 1]; `keep` and `threshold` replace those of the settings."""
        index, low = self.encode_master(self.squash(image))
        auxiliary, kept = self.encode_auxiliary(image, low, keep, threshold)
        return Codes(index, auxiliary, kept)

    def decode(self, codes: Codes, height: int, width: int, levels: int | None = None) -> Decoded:
        """Images from codes alone. With all levels, `recon` is not clipped.

        Args:
          codes: of images of one bucket.
          height: of the bucket in pixels.
          width: of the bucket in pixels.
          levels: how many of the coarsest levels to add; None for all, 0 for the master's image alone.
        """
        low = self.decode_master(codes.master)
        return Decoded(low, coarser(low, height, width), self.decode_auxiliary(low, codes, height, width, levels))

    def squash(self, image: jax.Array) -> jax.Array:
        """What the master sees of `[batch, height, width, 3]`: `[batch, size, size, 3]`."""
        return resize(image, self.settings.master.size, self.settings.master.size)

    def encode_master(self, low: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Codes `[batch, grid, grid]` of `[batch, size, size, 3]`, and the image that they give."""
        master = self.master(low)
        return master.index, master.recon

    def encode_auxiliary(
        self, image: jax.Array, low: jax.Array, keep: float | None = None, threshold: float | None = None
    ) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
        """`Codes.auxiliary` and `Codes.kept` of an image, given the master's image `low`."""
        s = self.settings.auxiliary
        levels = self._levels(image, low, s.keep if keep is None else keep, s.threshold if threshold is None else threshold)
        return levels.codes, tuple(o.kept for o in levels.outputs)

    def encode_levels(self, image: jax.Array, low: jax.Array) -> tuple[tuple[jax.Array, ...], tuple[LevelOutput, ...]]:
        """`Codes.auxiliary` as `encode_auxiliary` gives them, and all that came of them."""
        levels = self._levels(image, low, self.settings.auxiliary.keep, self.settings.auxiliary.threshold)
        return levels.codes, levels.outputs

    def decode_master(self, index: jax.Array) -> jax.Array:
        """The image `[batch, size, size, 3]` of master codes `[batch, grid, grid]`, not clipped."""
        return self.master.decode(index)

    def decode_auxiliary(self, low: jax.Array, codes: Codes, height: int, width: int, levels: int | None = None) -> jax.Array:
        """The image `[batch, height, width, 3]` of auxiliary codes and the master's image `low`; see `decode`."""
        s = self.settings.auxiliary
        recon = low
        for level, size in enumerate(level_sizes(height, width, s.levels, s.patch)[:levels]):
            recon = self.paint(codes.auxiliary[level], coarser(recon, *size), codes.kept[level], level)
        return coarser(recon, height, width) if levels == 0 or recon.shape[1:3] != (height, width) else recon

    def paint(self, index: jax.Array, up: jax.Array, kept: jax.Array, level: int) -> jax.Array:
        """One level's image, not clipped: `up` with what its codes add; arguments as `AuxiliaryTokenizer.decode`."""
        return up + self.auxiliary.decode(index, up, kept, level)

    def _code(self, image: jax.Array, keep: float, threshold: float, key: jax.Array | None = None) -> TokenizerOutput:
        """The whole way; `key` is given in training only."""
        low = self.squash(image)
        master = self.master(low, derive(key, "master"))
        recon = master.recon
        if key is not None and self.settings.auxiliary.master_corruption:
            recon = self.master.decode(self._corrupt(master.index, derive(key, "corruption")))
        levels = self._levels(image, recon, keep, threshold, key)
        codes = Codes(master.index, levels.codes, tuple(o.kept for o in levels.outputs))
        commitment = {"master_commitment": master.loss, "auxiliary_commitment": levels.loss}
        return TokenizerOutput(
            low, master.recon, levels.outputs, levels.outputs[-1].recon, codes, commitment, self._counts(codes)
        )

    def _levels(
        self, image: jax.Array, recon: jax.Array, keep: float, threshold: float, key: jax.Array | None = None
    ) -> _Levels:
        """Codes what `recon` (the master's, of whatever size) misses of the image, level by level."""
        s = self.settings.auxiliary
        outputs, codes, losses = [], [], []
        for level, (height, width) in enumerate(level_sizes(image.shape[1], image.shape[2], s.levels, s.patch)):
            target = resize(image, height, width)
            up = jax.lax.stop_gradient(coarser(recon, height, width))
            residual = target - up
            budget = keep if key is None else self._random_budget(keep, image.shape[0], derive(key, "budget"), level)
            kept = choose_positions(position_energy(residual, s.patch), budget, threshold)
            coded = self.auxiliary(residual, up, kept, level, derive(key, f"level {level}"))
            recon = up + coded.residual_hat
            outputs.append(LevelOutput(target, up, residual, coded.residual_hat, recon, kept))
            codes.append(jnp.where(kept[..., None], coded.quantized.index, 0))
            losses.append(coded.quantized.loss)

        return _Levels(tuple(outputs), tuple(codes), jnp.mean(jnp.stack(losses)))

    def _corrupt(self, index: jax.Array, key: jax.Array) -> jax.Array:
        return corrupt(index, self.settings.master.quantizer.codebook_size, self.settings.auxiliary.master_corruption, key)

    def _random_budget(self, keep: float, batch: int, key: jax.Array, level: int) -> jax.Array:
        """Budgets `[batch]` in training: none for `dropout` of the images (at every level), a random part for `sparsity`."""
        s = self.settings.auxiliary
        fate = jax.random.uniform(key, (batch,))
        part = jax.random.uniform(jax.random.fold_in(key, level), (batch,))
        return keep * jnp.where(fate < s.dropout, 0.0, jnp.where(fate < s.dropout + s.sparsity, part, 1.0))

    def _counts(self, codes: Codes) -> dict[str, jax.Array]:
        size = self.settings.auxiliary.quantizer.codebook_size
        kept = [jnp.broadcast_to(k[..., None], c.shape) for c, k in zip(codes.auxiliary, codes.kept, strict=True)]
        return {
            "master": usage(codes.master, self.settings.master.quantizer.codebook_size),
            "auxiliary": jnp.sum(jnp.stack([usage(c, size, k) for c, k in zip(codes.auxiliary, kept, strict=True)]), axis=0),
        }
