"""A trained dual tokenizer for users: pictures of any size to codes and back."""

import functools
import os
from collections.abc import Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.data.records import ImageCodes
from ugf_jax.errors import InputError
from ugf_jax.models.tokenizer import Codes, DualTokenizer, TokenizerSettings, coarser, level_sizes
from ugf_jax.training.digests import fingerprint
from ugf_jax.training.frozen import load_tokenizer
from ugf_jax.training.stages.tokenizer import to_float


class ImageTokenizer:
    """Images to codes and back, at any size.

    An image whose sides are not multiples of `canvas` pixels is continued at its right and lower edge; that canvas is what is
    coded, and decoding cuts it off again. Each canvas size is one compilation.

    Attributes:
      canvas: pixels, a multiple of the auxiliary patch (the default); a larger one means fewer compilations.
      settings: of the model.
      variables: `{"params": …}` and the quantizers' state.
      step: training steps of the checkpoint.
      config: the run's whole config, as JSON.
    """

    def __init__(self, settings: TokenizerSettings, variables: Any, step: int = 0, config: dict[str, Any] | None = None):
        self.settings, self.variables, self.step, self.config = settings, variables, step, config or {}
        self.canvas = settings.auxiliary.patch
        model = DualTokenizer(settings)

        def method(name: str) -> Any:
            return functools.partial(model.apply, method=name)

        # The master has one size, so it is compiled once a batch size; only the auxiliary is compiled for every canvas.
        self._squash = jax.jit(lambda image: method("squash")({}, to_float(image)))
        self._encode_master = jax.jit(method("encode_master"))
        self._encode_index = jax.jit(lambda *args: method("encode_master")(*args)[0])  # without painting what it gives
        self._encode_auxiliary = jax.jit(lambda v, image, *rest: method("encode_auxiliary")(v, to_float(image), *rest))
        self._decode_master = jax.jit(method("decode_master"))
        self._decode_auxiliary = jax.jit(
            lambda v, *rest: to_pixels(method("decode_auxiliary")(v, *rest)), static_argnums=(3, 4, 5)
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], step: int | None = None) -> Self:
        """Loads the tokenizer from a training run.

        Args:
          path: the run's work folder.
          step: which checkpoint; default the newest that is sound.

        Raises:
          InputError: no such run or step, or a run of another stage.
        """
        frozen = load_tokenizer(path, step)
        return cls(frozen.settings, frozen.variables, frozen.step, frozen.config)

    def padded_shape(self, height: int, width: int) -> tuple[int, int]:
        """The canvas on which an image of this size is coded."""
        return -(-height // self.canvas) * self.canvas, -(-width // self.canvas) * self.canvas

    def digest(self) -> str:
        """Tells one training of the same model from another."""
        return fingerprint(self.variables)

    def encode(self, images: np.ndarray, keep: float | None = None) -> list[ImageCodes]:
        """Codes of images of one size.

        Args:
          images: uint8 `[batch, height, width, 3]`.
          keep: the share of auxiliary positions to keep, those with the most residual energy; default as trained. With 0 only
            the master encodes, which is much faster.
        """
        _, height, width, _ = images.shape
        bottom, right = (p - s for p, s in zip(self.padded_shape(height, width), (height, width), strict=True))
        padded = np.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
        share = self.settings.auxiliary.keep if keep is None else keep
        if share == 0:
            return self._encode_nothing_but_master(padded)
        master, low = self._encode_master(self.variables, self._squash(padded))
        auxiliary, kept = self._encode_auxiliary(self.variables, padded, low, jnp.float32(share))
        codes = jax.device_get(Codes(master, auxiliary, kept))
        size = (padded.shape[1], padded.shape[2])
        return [unbatch(codes, i, size) for i in range(len(images))]

    def _encode_nothing_but_master(self, images: np.ndarray) -> list[ImageCodes]:
        """Codes of images of whole canvases, every auxiliary position skipped."""
        own, (height, width) = self.settings.auxiliary, images.shape[1:3]
        grids = [(h // own.patch, w // own.patch) for h, w in level_sizes(height, width, own.levels, own.patch)]
        auxiliary = tuple(np.zeros((*grid, own.groups), np.uint32) for grid in grids)
        kept = tuple(np.zeros(grid, bool) for grid in grids)
        master = jax.device_get(self._encode_index(self.variables, self._squash(images))).astype(np.uint32)
        return [ImageCodes(index, auxiliary, kept, (height, width)) for index in master]

    def decode(self, codes: Sequence[ImageCodes], size: tuple[int, int], levels: int | None = None) -> np.ndarray:
        """Images from codes.

        Args:
          codes: of images that were coded on one canvas.
          size: `(height, width)` wanted; at most the canvas.
          levels: how many auxiliary levels to use; None for all, 0 for the master alone.

        Returns:
          uint8 `[batch, height, width, 3]`.

        Raises:
          InputError: the codes are of another canvas than `size` asks for.
        """
        canvas = self.padded_shape(*size)
        for one in codes:
            if tuple(one.bucket) != canvas:
                found, wanted, needed = (f"{h}x{w}" for h, w in (one.bucket, size, canvas))
                raise InputError(f"codes of a {found} canvas; an image of {wanted} pixels has codes of {needed}")
        batch = _batch(codes)
        low = self._decode_master(self.variables, batch.master)
        return np.asarray(self._decode_auxiliary(self.variables, low, batch, *canvas, levels))[:, : size[0], : size[1]]

    def decode_master(self, master: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """What master codes, integers `[batch, grid, grid]`, show alone: uint8 `[batch, height, width, 3]` at any size."""
        low = self._decode_master(self.variables, jnp.asarray(master, jnp.int32))
        return np.asarray(to_pixels(coarser(low, *size)))

    def reconstruct(self, images: np.ndarray, keep: float | None = None) -> dict[str, Any]:
        """Encodes and decodes uint8 `[batch, height, width, 3]`: `{"master": uint8, "full": uint8, "codes": [ImageCodes]}`."""
        codes = self.encode(images, keep)
        size = (images.shape[1], images.shape[2])
        return {"master": self.decode(codes, size, levels=0), "full": self.decode(codes, size), "codes": codes}

    def bits(self, codes: ImageCodes) -> dict[str, float]:
        """Bits in the codes of one image: log2 of the codebook a code, and one a position where any position is skipped."""
        master = codes.master.size * np.log2(self.settings.master.quantizer.codebook_size)
        each = self.settings.auxiliary.groups * np.log2(self.settings.auxiliary.quantizer.codebook_size)
        auxiliary = sum(k.sum() * each + (0 if k.all() else k.size) for k in codes.kept)
        return {"master": float(master), "auxiliary": float(auxiliary)}


def to_pixels(image: jax.Array) -> jax.Array:
    """Float in [-1, 1] to uint8."""
    return jnp.clip(jnp.round((image + 1) * 127.5), 0, 255).astype(jnp.uint8)


def unbatch(codes: Codes, i: int, bucket: tuple[int, int]) -> ImageCodes:
    """Codes of image `i` of a batch, on a canvas of `bucket` pixels, as they are stored."""
    auxiliary = tuple(np.asarray(a[i]).astype(np.uint32) for a in codes.auxiliary)
    kept = tuple(np.asarray(k[i]) for k in codes.kept)
    return ImageCodes(np.asarray(codes.master[i]).astype(np.uint32), auxiliary, kept, bucket)


def _batch(codes: Sequence[ImageCodes]) -> Codes:
    levels = range(len(codes[0].auxiliary))
    return Codes(
        jnp.asarray(np.stack([c.master for c in codes]).astype(np.int32)),
        tuple(jnp.asarray(np.stack([c.auxiliary[n] for c in codes]).astype(np.int32)) for n in levels),
        tuple(jnp.asarray(np.stack([c.kept[n] for c in codes])) for n in levels),
    )
