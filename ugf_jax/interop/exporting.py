"""A model to files that `transformers` loads: the inverse of the import, tensor by tensor."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.interop import tower, trunk
from ugf_jax.interop.importing import CARRIED, DTYPES, cast
from ugf_jax.interop.mapping import Mapping as Rules
from ugf_jax.interop.mapping import Rule, source_shapes
from ugf_jax.interop.plan import STRUCTURE
from ugf_jax.json_files import write_json
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.tensor_files import Tensor, read_folder
from ugf_jax.tensor_writer import TensorWriter
from ugf_jax.training.bundle import CARD, CONFIG, FORMAT, TEXT, BundleSettings, read_settings

# What no model of transformers has. Where nothing is read from memory, the logits are equal.
_LEFT = ("layers/cross/", "layers/cross_norm/", "layers/gate", "memory/", "embed_image/", "embed_text/", "contrast")


def export_hf(model: str | os.PathLike[str], out: str | os.PathLike[str], dtype: str = "") -> list[str]:
    """Writes `config.json`, safetensors and the tokenizer in the layout of Hugging Face.

    Args:
      model: a folder made by `ugf import` or `ugf export`.
      out: made if it does not exist.
      dtype: of the weights; "" for that in which they are stored.

    Returns:
      the parameters that were left behind, because no model of transformers has them.

    Raises:
      InputError: no model of transformers computes what this one does, or the folder holds something already.
    """
    folder, out = pathlib.Path(model), pathlib.Path(out)
    settings = read_settings(folder)
    if (out / CONFIG).exists():
        raise InputError(f"OUT {out}: holds a model already; name another folder or delete it")
    tensors = {n.removeprefix("fusion/"): t for n, t in read_folder(folder).items() if n.startswith("fusion/")}
    values = hf_config(settings, str(folder))
    rules = hf_rules(settings)
    left = _left_behind(folder, tensors, rules)
    out.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    for target, rule in rules.items():
        own = DTYPES[dtype] if dtype else tensors[target].dtype
        kinds |= {name: (own, shape) for name, shape in _kinds(rule, tensors[target])}
    with TensorWriter(out, "model", kinds) as writer:
        for target, rule in rules.items():
            for name, value in _undone(tensors[target], rule):
                writer.write(name, [cast(name, value, kinds[name][0])])
    for name in (TEXT, CARD, *CARRIED):
        if (folder / name).is_file():
            (out / name).write_bytes((folder / name).read_bytes())
    write_json(out / CONFIG, values)
    return left


def hf_rules(settings: BundleSettings) -> Rules:
    """Rules for all parameters of `fusion` that a model of transformers has."""
    model, words = settings.model, settings.vocabulary
    rules = trunk.trunk_mapping(model, _rows(settings), words.total)
    if model.vision:
        rules |= {f"vision/{target}": rule for target, rule in tower.tower_mapping(model.vision, "vit.").items()}
        rules |= {f"adapter/{target}": rule for target, rule in tower.adapter_mapping().items()}
    return rules


def hf_config(settings: BundleSettings, path: str) -> dict[str, Any]:
    """The `config.json` of transformers: that of the import where it still says what the model computes.

    Raises:
      InputError: no model of transformers computes what this one does.
    """
    made = trunk.trunk_config(settings.model, _rows(settings), path)
    known = settings.imported
    if known.get("model_type") == made["model_type"] and known.get("vocab_size") == made["vocab_size"]:
        before = trunk.trunk_settings(known, path, settings.model.tied)
        if _computation(before) == _computation(settings.model):
            return dict(known)
    if made["model_type"] == "chameleon":
        if settings.format == FORMAT:
            raise InputError(
                f"{path}: norms of each head as in Chameleon, but other token ids; no model of transformers has them"
            )
        made["vocabulary_map"] = known.get("vocabulary_map") or chameleon_names(settings.vocabulary)
    if settings.model.vision:
        vision = settings.model.vision
        made["vision_config"] = {
            "model_type": "siglip_vision_model",
            "image_size": vision.image_size,
            "num_attention_heads": vision.heads,
        }
    return made


def chameleon_names(words: VocabularySettings) -> dict[str, int]:
    """The published names of ids, by which Chameleon's code finds images; the digits of a code's number are letters there."""
    letters = str.maketrans("0123456789", "ABCDEFGHIJ")
    codes = {f"IMGIMG{str(n).translate(letters)}Z": words.first_code + n for n in range(words.codes)}
    return {name: getattr(words, own) for own, name in STRUCTURE.items()} | codes


def _rows(settings: BundleSettings) -> int:
    return settings.vocabulary.text


def _computation(model: FusionSettings) -> tuple[Any, ...]:
    """What config.json tells of a trunk; not how it is trained or with what precision it is computed."""
    plain = dataclasses.replace(model, dropout=0.0, gate=1.0, attention="auto", dtype="float32")
    return (plain.block, model.depth, model.rope_base, model.rope_scaling, model.tied)


def _left_behind(folder: pathlib.Path, tensors: Mapping[str, Tensor], rules: Rules) -> list[str]:
    left = [name for name in tensors if name not in rules]
    for name in rules:
        if name not in tensors:
            raise InputError(f"{folder}: fusion/{name} is missing")
    for name in left:
        if not name.startswith(_LEFT):
            raise InputError(f"{folder}: fusion/{name}: no model of transformers has such a parameter")
    read = ("layers/gate", "layers/cross/output/kernel")  # their product is what is added; untrained, the second is 0
    if all(name in tensors and np.any(tensors[name].read() != 0) for name in read):
        raise InputError(
            f"{folder}: fusion/{read[1]} is not 0: the model looks into auxiliary memory, and no model of transformers does; "
            "export it without --format=hf"
        )
    return left


def _kinds(rule: Rule, tensor: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    return list(zip(rule.sources, source_shapes(rule, tensor.shape), strict=True))


def _undone(tensor: Tensor, rule: Rule) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors that a parameter stands for, each read by itself."""
    for number, name in enumerate(rule.sources):
        piece = tensor.read((slice(number, number + 1),))[0] if rule.stacked else tensor.read()
        yield name, rule.change.backward(piece)
