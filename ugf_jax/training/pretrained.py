"""A trained transformer that a stage starts from: an exported model, or a run of stage `unified`."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax

from ugf_jax import config
from ugf_jax.data.stores import as_path
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.shared_codes import parts_count
from ugf_jax.training.bundle import TEXT, is_bundle, read_params, read_settings
from ugf_jax.training.checkpoints import read_extras, restore_params
from ugf_jax.training.frozen import plain_params, read_run, without_sharing
from ugf_jax.training.stages import unified


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """What is known of a trained transformer before its parameters are read.

    Attributes:
      model: its settings.
      vocabulary: its ids.
      text: digest of its text tokenizer.
      codes: digest of the image tokenizer that its data were coded with; "" where that is not known.
      step: training steps it has had.
      read: `abstract → params`: those of its parameters that are in the tree, on the shardings that are in it.
    """

    model: FusionSettings
    vocabulary: VocabularySettings
    text: str
    codes: str
    step: int
    read: Callable[[Any], Any]

    def to_json(self) -> dict[str, Any]:
        """All but its parameters."""
        known = {"text": self.text, "codes": self.codes, "step": self.step}
        return {"model": config.to_json(self.model), "vocabulary": config.to_json(self.vocabulary), **known}


def find_pretrained(folder: str | os.PathLike[str], key: str = "config.model") -> Pretrained:
    """The transformer in a folder.

    Args:
      folder: made by `ugf export`, or the work folder of a run of stage `unified`.
      key: the setting that names it, for messages.

    Raises:
      InputError: it is neither.
    """
    path = as_path(folder)
    if not str(folder):
        raise InputError(f"{key} is empty; want a model made by `ugf export`, or the work folder of a run of stage 'unified'")
    if is_bundle(path):
        return _exported(path)
    if not path.is_dir():
        raise InputError(f"{key}: {folder}: no such folder; want a model made by `ugf export`, or a run of stage 'unified'")
    return _run(folder)


def _exported(folder: pathlib.Path) -> Pretrained:
    settings = read_settings(folder)

    def read(abstract: Any) -> Any:
        return read_params(folder, "fusion", abstract)

    text = TextTokenizer.load(os.fspath(folder / TEXT)).digest
    return Pretrained(settings.model, settings.vocabulary, text, settings.codes, settings.steps.get("unified", 0), read)


def _run(workdir: str | os.PathLike[str]) -> Pretrained:
    folder, step, found = read_run(workdir, "unified")
    settings = config.parse(unified.Settings, found)
    data = read_extras(folder, step)[1]["data"]
    name = "ema" if settings.optimizer.ema_decay else "params"

    def read(abstract: Any) -> Any:
        wanted = dict(abstract)
        if settings.model.code_levels:
            table = abstract["embed"]["embedding"]
            shape = parts_count(settings.model.code_levels, settings.model.code_rows), settings.model.width
            wanted["code_parts"] = jax.ShapeDtypeStruct(shape, table.dtype, sharding=abstract["norm"]["scale"].sharding)
        return plain_params(settings, restore_params(folder, {name: wanted}, step)[1][name])

    codes = str(data["codes"]["tokenizer"])
    return Pretrained(without_sharing(settings.model), settings.vocabulary, data["text_tokenizer"], codes, step, read)
