"""The parts of a published UniToken: transformer, vision tower, adapter, image tokenizer, text tokenizer and ids.

FOLDER/config.json, model*.safetensors    transformer, `vit.…`, `adapter.…`, the encoder of the image tokenizer
FOLDER/tokenizer.json                     text tokenizer and the names of the ids
FOLDER/vqgan/model.safetensors            the original's image tokenizer, with its decoder (Chameleon's vqgan.ckpt)
"""

import dataclasses
import functools
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError
from ugf_jax.interop.image_tokenizers import VQImages, load_image_tokenizer
from ugf_jax.interop.mapping import check, slices
from ugf_jax.interop.plan import STRUCTURE
from ugf_jax.interop.source import Source, open_source, read_json
from ugf_jax.interop.tower import adapter_mapping, tower_ignored, tower_mapping, tower_prefix, tower_settings
from ugf_jax.interop.trunk import EMBEDDING, IGNORED, trunk_mapping, trunk_settings
from ugf_jax.models.fusion import FusionSettings, FusionTransformer
from ugf_jax.training.digests import named_leaves

TEXT, VQGAN = "tokenizer.json", "vqgan"
_CODE = re.compile(r"IMGIMG([A-J]+)Z")  # letters for the digits of a code's number


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """A whole UniToken.

    Attributes:
      settings: of the transformer, with its tower.
      params: its parameters.
      vocabulary: its ids.
      text: its text tokenizer.
      images: its image tokenizer.
    """

    settings: FusionSettings
    params: dict[str, Any]
    vocabulary: UniTokenVocabulary
    text: TextTokenizer
    images: VQImages


def read_unitoken(path: str | os.PathLike[str], dtype: str = "float32", vqgan: str | os.PathLike[str] = "") -> Parts:
    """Reads a published UniToken.

    Args:
      path: its folder.
      dtype: of the computation and of the matrices in memory.
      vqgan: the image tokenizer's file; empty: `vqgan/` in the folder, or the encoder that is in the model.

    Raises:
      InputError: a part is missing or does not fit; the message names it.
    """
    folder = pathlib.Path(path)
    source = open_source(folder)
    settings, params = read_transformer(source, dtype)
    names = token_names(folder / TEXT)
    own = pathlib.Path(vqgan) if str(vqgan) else folder / VQGAN
    original = open_source(own) if own.exists() else source
    images = load_image_tokenizer(original, order=code_order(names))
    total = source.shape(EMBEDDING)[0]
    vocabulary = vocabulary_of(names, total, images.quantizer.size, str(folder / TEXT))
    return Parts(settings, params, vocabulary, TextTokenizer.load(os.fspath(folder / TEXT)), VQImages(images))


def read_transformer(source: Source, dtype: str = "float32") -> tuple[FusionSettings, dict[str, Any]]:
    """Settings and parameters of the transformer with its tower and adapter.

    Raises:
      InputError: it is no Chameleon, or a tensor is missing, superfluous or of another shape.
    """
    if source.config.get("model_type") not in ("chameleon", "xllmx_chameleon") and "num_hidden_layers" not in source.config:
        raise InputError(f"{source.path}: no config.json of a Chameleon; want the folder of a UniToken")
    values = {**source.config, "model_type": "chameleon"}
    trunk = trunk_settings(values, f"{source.path}/config.json", tied=False)
    prefix = tower_prefix(source)
    tower = dataclasses.replace(tower_settings(source, prefix), dtype=dtype) if prefix is not None else None
    settings = dataclasses.replace(trunk, vision=tower, dtype=dtype)
    total = source.shape(EMBEDDING)[0]
    rules = trunk_mapping(settings, total, total)
    ignored = {**IGNORED, r"model\.vqmodel\..*": "read by itself", **(tower_ignored(prefix) if prefix is not None else {})}
    if tower is not None and prefix is not None:
        rules |= {f"vision/{name}": rule for name, rule in tower_mapping(tower, prefix).items()}
        rules |= {f"adapter/{name}": rule for name, rule in adapter_mapping().items()}
    shapes = {name: leaf.shape for name, leaf in named_leaves(_abstract(settings, total)).items()}
    check(source, rules, shapes, ignored)
    tree: dict[str, Any] = {}
    for name, rule in rules.items():  # one parameter at a time: a float32 copy of the whole would be 28 GB
        *path, last = name.split("/")
        own = dtype if last in ("kernel", "embedding", "head") else jnp.float32
        pieces = [jnp.asarray(piece.astype(np.float32), own) for piece in slices(source, rule)]
        place = functools.reduce(lambda place, part: place.setdefault(part, {}), path, tree)
        place[last] = jnp.stack(pieces) if rule.stacked else pieces[0]
    return settings, tree


def _abstract(settings: FusionSettings, total: int) -> Any:
    zeros = jnp.zeros((1, 1), jnp.int32)
    batch = dict.fromkeys(("tokens", "segments", "positions", "cells"), zeros)
    model = FusionTransformer(settings, total)
    return jax.eval_shape(lambda: model.init(jax.random.key(0), batch, method="everything"))["params"]


def token_names(path: pathlib.Path) -> dict[str, int]:
    """Ids by name, of a `tokenizer.json`.

    Raises:
      InputError: it cannot be read, or is none.
    """
    values = read_json(path)
    try:
        names = dict(values["model"]["vocab"])
        return names | {token["content"]: token["id"] for token in values.get("added_tokens") or []}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: no vocabulary in it ({json.dumps(str(error))}); want the model's tokenizer.json") from error


def code_order(names: Mapping[str, int]) -> list[int]:
    """Numbers of the image tokenizer's codes in the order of their ids; empty where the ids have no names."""
    letters = str.maketrans("ABCDEFGHIJ", "0123456789")
    found = {i: int(match[1].translate(letters)) for name, i in names.items() if (match := _CODE.fullmatch(name))}
    return [found[i] for i in sorted(found)]


def vocabulary_of(names: Mapping[str, int], total: int, codes: int, where: str) -> UniTokenVocabulary:
    """The ids that a tokenizer names.

    Raises:
      InputError: one has no name, or codes that are not side by side.
    """
    missing = [name for name in STRUCTURE.values() if name not in names]
    if missing:
        raise InputError(f"{where}: has no token {missing[0]}; want the tokenizer of a Chameleon")
    found = {own: names[name] for own, name in STRUCTURE.items()}
    coded = sorted(i for name, i in names.items() if _CODE.fullmatch(name))
    if coded and coded != list(range(coded[0], coded[0] + codes)):
        raise InputError(f"{where}: {len(coded)} ids of codes from {coded[0]} to {coded[-1]}; want {codes} side by side")
    known = UniTokenVocabulary()
    sizes = 0
    while sizes < known.sizes and names.get(f"<reserved{8801 + sizes:05d}>") == found["no_size"] + sizes + 1:
        sizes += 1
    answer = known.answer if known.answer < total else max(names.values())
    first = coded[0] if coded else known.first_code
    text = int(np.max([*names.values()])) + 1
    return UniTokenVocabulary(text=text, sizes=sizes, codes=codes, total=total, first_code=first, answer=answer, **found)
