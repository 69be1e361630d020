"""VQ-GANs of other projects as master tokenizers: which tensors become which parameters.

A naming is all that tells one project's files from another's; sizes are read from the shapes of the tensors.

    CHAMELEON   encoder.down.0.block.1.conv1, decoder.up.0 the finest       Taming Transformers, Chameleon, UniToken
    HUGGING     the same, decoder.up.0 the coarsest                         `transformers`; its Chameleon has no decoder
    LLAMAGEN    encoder.conv_blocks.0.res.1.conv1, mid.0, mid.1, mid.2      LlamaGen, Janus
"""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp

from ugf_jax.errors import InputError
from ugf_jax.interop.mapping import CONVOLUTION, SAME, Mapping, Rule
from ugf_jax.interop.source import Source
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.vqgan import VQGAN, VQGANSettings
from ugf_jax.training.digests import named_leaves

CODEBOOK = "quantize.embedding.weight"
PREFIXES = ("", "model.vqmodel.", "vqmodel.", "gen_vision_model.", "model.gen_vision_model.", "state_dict.")


@dataclasses.dataclass(frozen=True)
class Naming:
    """How a project calls the modules.

    Attributes:
      name: of the naming.
      changes: regular expressions and what they become, applied in order to `encoder/down_0/block_1/conv1`.
      coarse_first: level 0 of the decoder is the coarsest.
    """

    name: str
    changes: tuple[tuple[str, str], ...]
    coarse_first: bool

    def tensor(self, path: str, levels: int) -> str:
        """Name of the tensor that a parameter `encoder/…/kernel` is made from."""
        if self.coarse_first:
            path = re.sub(r"(?<=/up_)\d+", lambda found: str(levels - 1 - int(found[0])), path)
        for pattern, replacement in self.changes:
            path = re.sub(pattern, replacement, path)
        return re.sub(r"\.(kernel|scale)$", ".weight", path.replace("/", "."))


_OUTSIDE = r"(?<=_\d/)(block|attn)_(\d)"  # blocks of a resolution, which are numbered; those of the middle have names
CHAMELEON = Naming("chameleon", ((_OUTSIDE, r"\1.\2"), (r"(?<=/)(down|up)_", r"\1.")), coarse_first=False)
HUGGING = dataclasses.replace(CHAMELEON, name="hugging face", coarse_first=True)
LLAMAGEN = Naming(
    "llamagen",
    (
        (r"(?<=_\d/)block_(\d)", r"res.\1"),
        (r"(?<=_\d/)attn_(\d)", r"attn.\1"),
        (r"(?<=/)(down|up)_", "conv_blocks."),
        ("mid/block_1", "mid.0"),
        ("mid/attn_1", "mid.1"),
        ("mid/block_2", "mid.2"),
    ),
    coarse_first=True,
)


@dataclasses.dataclass(frozen=True)
class Found:
    """An image tokenizer in a source.

    Attributes:
      prefix: of the names of its tensors.
      naming: of the project.
      settings: channels.
      quantizer: its codebook.
      decodes: whether it has a decoder.
    """

    prefix: str
    naming: Naming
    settings: VQGANSettings
    quantizer: QuantizerSettings
    decodes: bool


def prefix_of(source: Source) -> str | None:
    """What the names of an image tokenizer's tensors begin with; None where there is none."""
    return next((p for p in PREFIXES if p + "encoder.conv_in.weight" in source and p + CODEBOOK in source), None)


def find(source: Source) -> Found:
    """Recognises an image tokenizer and its sizes.

    Raises:
      InputError: there is none, or one of another architecture.
    """
    prefix = prefix_of(source)
    if prefix is None:
        raise InputError(f"{source.path}: no VQ-GAN (encoder.conv_in and {CODEBOOK}); want Chameleon's, LlamaGen's or Janus's")
    names = set(source.names())
    if f"{prefix}encoder.conv_blocks.0.res.0.conv1.weight" in names:
        naming, level, block, finest = LLAMAGEN, "encoder.conv_blocks.{}", "res", "decoder.conv_blocks.0"
    else:
        naming, level, block, finest = CHAMELEON, "encoder.down.{}", "block", "decoder.up.0"
        if f"{prefix}{finest}.upsample.conv.weight" in names:
            naming = HUGGING
    levels = _count(names, prefix + level + f".{block}.0.conv1.weight")
    last = prefix + level.format(levels - 1)
    blocks = _count(names, prefix + level.format(0) + f".{block}.{{}}.conv1.weight")
    channels = source.shape(prefix + "encoder.conv_in.weight")[0]
    outputs = [source.shape(f"{prefix}{level.format(i)}.{block}.0.conv1.weight")[0] for i in range(levels)]
    if not levels or any(n % channels for n in outputs):
        raise InputError(f"{source.path}: a VQ-GAN of {outputs} channels after {channels}; want multiples")
    settings = VQGANSettings(
        channels=channels,
        multipliers=tuple(n // channels for n in outputs),
        blocks=blocks,
        latent=source.shape(prefix + "encoder.conv_out.weight")[0],
        attention=last + ".attn.0.q.weight" in names,
    )
    size, features = source.shape(prefix + CODEBOOK)
    quantizer = QuantizerSettings(kind="vq", size=size, features=features)
    return Found(prefix, naming, settings, quantizer, prefix + "decoder.conv_in.weight" in names)


def _count(names: set[str], pattern: str) -> int:
    """How many of the numbers 0, 1, … give a name that there is."""
    number = 0
    while pattern.format(number) in names:
        number += 1
    return number


def parameter_shapes(settings: VQGANSettings, quantizer: QuantizerSettings) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter of a `VQGAN`, by path."""
    model = VQGAN(settings, quantizer)

    def everything(model: VQGAN, image: jax.Array) -> jax.Array:
        return model.paint(model.encode(image).value)

    image = jax.ShapeDtypeStruct((1, settings.patch, settings.patch, 3), jnp.float32)
    made: Any = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, method=everything), image)
    return {name: leaf.shape for name, leaf in named_leaves(made["params"]).items()}


def mapping(found: Found, part: str) -> tuple[Mapping, dict[str, tuple[int, ...]]]:
    """Rules and shapes of the parameters of a part.

    Args:
      found: by `find`.
      part: "encoder" (with `quant_conv`) or "decoder" (with `post_quant_conv`).
    """
    starts = {"encoder": ("encoder/", "quant_conv/"), "decoder": ("decoder/", "post_quant_conv/")}[part]
    every = parameter_shapes(found.settings, found.quantizer)
    shapes = {path: shape for path, shape in every.items() if path.startswith(starts)}
    levels = len(found.settings.multipliers)
    rules = {
        path: Rule((found.prefix + found.naming.tensor(path, levels),), CONVOLUTION if path.endswith("kernel") else SAME)
        for path in shapes
    }
    return rules, shapes
