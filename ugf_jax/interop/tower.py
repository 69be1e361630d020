"""SigLIP's vision towers (Zhai et al. 2023; SigLIP 2: Tschannen et al. 2025), Hugging Face layout, and UniToken's adapter.

The pooling head is left out: what stands in a sequence are the features of patches. A tower of SigLIP 2 is SigLIP's, but for
NaFlex: its patches are embedded by a matrix and its positions resampled in another way.
"""

import math
from collections.abc import Mapping as AnyMapping
from typing import Any

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.interop.mapping import SAME, TRANSPOSED, Change, Mapping, Rule, patches
from ugf_jax.interop.source import Source
from ugf_jax.models.vision import EPSILON, VisionSettings

TYPES = ("siglip", "siglip_vision_model", "siglip2", "siglip2_vision_model")
PREFIXES = ("vit.", "vision_model.", "model.vision_model.", "")
_PATCH, _POSITIONS = "embeddings.patch_embedding.weight", "embeddings.position_embedding.weight"
_BLOCK = {
    "attention_norm": "layer_norm1",
    "mlp_norm": "layer_norm2",
    "attention/query": "self_attn.q_proj",
    "attention/key": "self_attn.k_proj",
    "attention/value": "self_attn.v_proj",
    "attention/output": "self_attn.out_proj",
    "mlp/up": "mlp.fc1",
    "mlp/down": "mlp.fc2",
}
_HEADS = {768: 12, 1024: 16, 1152: 16, 1536: 16}  # of the published widths; tensors do not tell
_SIDES = {(27, 14): 384}  # pixels of an image whose side the patches do not fill


def tower_prefix(source: Source) -> str | None:
    """What the names of a tower's tensors begin with; None where there is no tower."""
    return next((prefix for prefix in PREFIXES if prefix + _PATCH in source and prefix + _POSITIONS in source), None)


def tower_settings(source: Source, prefix: str) -> VisionSettings:
    """The size of a tower, from its tensors and what `config.json` says beside them.

    Raises:
      InputError: it does something that cannot be done here, or its number of heads is not known.
    """
    path = f"{source.path}/config.json"
    values: AnyMapping[str, Any] = source.config.get("vision_config") or source.config
    if values.get("model_type") not in TYPES:
        values = {}
    for name, wanted in (("hidden_act", "gelu_pytorch_tanh"), ("layer_norm_eps", EPSILON)):
        if values.get(name, wanted) != wanted:
            raise InputError(f"{path}: {name} of the vision tower is {values[name]!r}; want {wanted!r}")
    shape = source.shape(prefix + _PATCH)
    side = math.isqrt(shape[1] // 3) if len(shape) == 2 else shape[-1]
    count, width = source.shape(prefix + _POSITIONS)
    grid = math.isqrt(count)
    if grid**2 != count:
        raise InputError(f"{source.path}: {prefix}{_POSITIONS} has {count} rows; want a square number")
    heads = values.get("num_attention_heads", _HEADS.get(width))
    if heads is None:
        raise InputError(f"{path}: vision_config.num_attention_heads is missing; a tower of width {width} has no usual one")
    depth = sum(name.startswith(f"{prefix}encoder.layers.") and name.endswith(".mlp.fc1.weight") for name in source.names())
    hidden = source.shape(f"{prefix}encoder.layers.0.mlp.fc1.weight")[0]
    known = {
        "image_size": values.get("image_size", _SIDES.get((grid, side), grid * side)),
        "patch": side,
        "width": width,
        "depth": depth,
        "heads": heads,
        "hidden": hidden,
        "resampling": "linear" if len(shape) == 2 else "cubic",
    }
    return config.parse(VisionSettings, known, f"{path}: vision_config")


def tower_mapping(settings: VisionSettings, prefix: str) -> Mapping:
    """Rules for all parameters of a `VisionTower`."""
    matrix = settings.resampling == "linear"
    rules = {
        "embed/projection/kernel": Rule((prefix + _PATCH,), TRANSPOSED if matrix else patches(settings.patch)),
        "embed/projection/bias": Rule((f"{prefix}embeddings.patch_embedding.bias",)),
        "positions": Rule((prefix + _POSITIONS,)),
        "norm/scale": Rule((f"{prefix}post_layernorm.weight",)),
        "norm/bias": Rule((f"{prefix}post_layernorm.bias",)),
    }
    for target, name in _BLOCK.items():
        parts: dict[str, tuple[str, Change]] = {"kernel": ("weight", TRANSPOSED), "bias": ("bias", SAME)}
        if target.endswith("norm"):
            parts = {"scale": ("weight", SAME), "bias": ("bias", SAME)}
        for own, (part, change) in parts.items():
            sources = tuple(f"{prefix}encoder.layers.{n}.{name}.{part}" for n in range(settings.depth))
            rules[f"blocks/{target}/{own}"] = Rule(sources, change, stacked=True)
    return rules


def tower_ignored(prefix: str) -> dict[str, str]:
    """What may be left over beside a tower."""
    own = prefix.replace(".", r"\.")
    ignored = {rf"{own}head\..*": "pools the features, which here stay apart", rf"{own}embeddings\.position_ids": "computed"}
    if prefix in ("vision_model.", "model.vision_model."):
        ignored |= {r"(model\.)?text_model\..*": "SigLIP's text tower", "logit_scale|logit_bias": "of SigLIP's own loss"}
    return ignored


def adapter_mapping() -> Mapping:
    """Rules for UniToken's adapter: linear, GELU, linear."""
    layers = {"first": "adapter.0", "second": "adapter.2"}
    return {
        f"{own}/{part}": Rule((f"{name}.{theirs}",), change)
        for own, name in layers.items()
        for part, theirs, change in (("kernel", "weight", TRANSPOSED), ("bias", "bias", SAME))
    }
