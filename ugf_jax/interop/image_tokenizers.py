"""Image tokenizers of other projects, ready to use: Chameleon's VQ-GAN, and VQ-16 of LlamaGen and Janus."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.errors import InputError
from ugf_jax.interop import vqgan
from ugf_jax.interop.mapping import load
from ugf_jax.interop.source import Source
from ugf_jax.interop.vqgan import LLAMAGEN, Found
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.vqgan import VQGAN, VQGANSettings

_CONVOLUTIONS = {"encoder": "quant_conv", "decoder": "post_quant_conv"}


@dataclasses.dataclass(frozen=True, eq=False)
class ImportedVQ:
    """A VQ-GAN as it is here.

    Attributes:
      settings: channels.
      quantizer: its codebook.
      variables: `{"params": …, "codebook": …}` of a `VQGAN`; without a decoder where its files have none.
      naming: of the project that it comes from.
    """

    settings: VQGANSettings
    quantizer: QuantizerSettings
    variables: dict[str, Any]
    naming: str

    @property
    def decodes(self) -> bool:
        """Whether it has a decoder."""
        return "decoder" in self.variables["params"]

    def master(self, size: int) -> tuple[MasterSettings, dict[str, Any]]:
        """Settings and variables of the same network as the master tokenizer of images of `size`² pixels.

        Raises:
          InputError: it has no decoder.
        """
        if not self.decodes:
            raise InputError("an image tokenizer without a decoder; want one as the master tokenizer")
        settings = MasterSettings(
            kind="vqgan", size=size, patch=self.settings.patch, quantizer=self.quantizer, vqgan=self.settings
        )
        return settings, {name: {"vqmodel": values} for name, values in self.variables.items()}


def load_image_tokenizer(
    source: Source, decoder: Source | None = None, order: Sequence[int] = (), normalize: bool | None = None
) -> ImportedVQ:
    """Reads an image tokenizer.

    Args:
      source: with an encoder and a codebook.
      decoder: where the decoder is, if not in `source` (that of Hugging Face's Chameleon has none).
      order: code `order[n]` of the files becomes code n, for models that number codes in another order; empty: as they are.
      normalize: scale each code to length 1, as VQ-16 does whenever it uses one; None: for those that do.

    Raises:
      InputError: there is none, a tensor is missing, left over or of another shape, or two files that do not go together.
    """
    found = vqgan.find(source)
    rules, shapes = vqgan.mapping(found, "encoder")
    if decoder is None and found.decodes:
        more, more_shapes = vqgan.mapping(found, "decoder")
        rules, shapes = rules | more, shapes | more_shapes
    values = load(source, rules, shapes, _ignored(found, "decoder" if decoder or not found.decodes else ""))
    if decoder is not None:
        other = vqgan.find(decoder)
        if (other.settings, other.quantizer) != (found.settings, found.quantizer):
            raise InputError(f"{decoder.path}: an image tokenizer of other sizes than {source.path}")
        if not other.decodes:
            raise InputError(f"{decoder.path}: an image tokenizer without a decoder; want the original's file")
        values |= load(decoder, *vqgan.mapping(other, "decoder"), _ignored(other, "encoder"))

    codes = source.read(found.prefix + vqgan.CODEBOOK).astype(np.float32)
    if found.settings.attention if normalize is None else normalize:
        codes = (codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    if len(order):
        if sorted(order) != list(range(len(codes))):
            raise InputError(f"an order of {len(order)} codes that is no permutation of {len(codes)}")
        codes = codes[np.asarray(order)]
    state = {"embedding": codes, "count": np.ones(len(codes), np.float32), "total": codes.copy()}
    variables = {"params": _nested(values), "codebook": {"quantize": state}}
    return ImportedVQ(found.settings, found.quantizer, variables, found.naming.name)


def _ignored(found: Found, part: str) -> dict[str, str]:
    """What may be left over, with the reason; `part` is read elsewhere or not at all."""
    prefix = re.escape(found.prefix)
    ignored = {prefix + re.escape(vqgan.CODEBOOK): "read by itself", rf"{prefix}loss\..*": "of training"}
    if part:
        ignored[rf"{prefix}({part}|{_CONVOLUTIONS[part]})\..*"] = f"the {part} is not read from here"
    if found.prefix:
        ignored[rf"(?!{prefix}).*"] = "not of the image tokenizer"
    if found.naming is LLAMAGEN:
        ignored[rf"{prefix}quantize\.codebook_used"] = "of training"
    return ignored


def _nested(values: dict[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in values.items():
        *path, last = name.split("/")
        functools.reduce(lambda place, part: place.setdefault(part, {}), path, tree)[last] = array
    return tree


class VQImages:
    """Pictures to codes and back, at any size that is a multiple of the patch.

    Attributes:
      imported: the network.
      patch: pixels a side of a code.
    """

    def __init__(self, imported: ImportedVQ):
        self.imported, self.patch = imported, imported.settings.patch
        model = VQGAN(imported.settings, imported.quantizer)

        def paint(model: VQGAN, index: jax.Array) -> jax.Array:
            return model.paint(model.lookup(index))

        self._variables = jax.tree.map(jnp.asarray, imported.variables)
        self._encode = jax.jit(lambda v, x: model.apply(v, x, method="encode").index)
        self._paint = jax.jit(lambda v, index: model.apply(v, index, method=paint))

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Codes int32 `[batch, rows, columns]` of uint8 `[batch, height, width, 3]`.

        Raises:
          InputError: sides that are no multiples of the patch.
        """
        if images.shape[1] % self.patch or images.shape[2] % self.patch:
            raise InputError(f"an image of {images.shape[1]}x{images.shape[2]} pixels; want multiples of {self.patch}")
        return np.asarray(self._encode(self._variables, jnp.asarray(images / 255.0 * 2 - 1, jnp.float32)))

    def paint(self, codes: np.ndarray) -> np.ndarray:
        """float32 `[batch, height, width, 3]`, about -1 … 1, of codes `[batch, rows, columns]`.

        Raises:
          InputError: the tokenizer has no decoder.
        """
        if not self.imported.decodes:
            raise InputError("an image tokenizer without a decoder cannot draw; give the original's file with one")
        return np.asarray(self._paint(self._variables, jnp.asarray(codes, jnp.int32)))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """uint8 `[batch, height, width, 3]` of codes `[batch, rows, columns]`; rounded down, as Chameleon does."""
        return ((np.clip(self.paint(codes), -1, 1) + 1) / 2 * 255).astype(np.uint8)
