"""Trained tokenizers and transformers, read for stages that build on one and for inference."""

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath
from jax.sharding import Mesh

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.aligned_places import initial_params
from ugf_jax.models.fusion import FusionSettings, FusionTransformer
from ugf_jax.models.shared_codes import shared_table
from ugf_jax.models.tokenizer import TokenizerSettings
from ugf_jax.training import sharding
from ugf_jax.training.checkpoints import read_extras, restore_params
from ugf_jax.training.stages import unified
from ugf_jax.training.stages.tokenizer import Settings, build


@dataclasses.dataclass(frozen=True)
class FrozenTokenizer:
    """What a tokenizer run has learnt.

    Attributes:
      settings: of the model.
      variables: `{"params": …}`, averaged where the run averages, and the quantizers' state.
      step: training steps of the checkpoint.
      config: the run's whole config, as JSON.
    """

    settings: TokenizerSettings
    variables: Any
    step: int
    config: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class FusionRun:
    """What a run of stage `unified` has learnt.

    Attributes:
      settings: the run's config, without sharing among codes.
      params: of the transformer of these settings, averaged where the run averages.
      step: of the checkpoint.
      codes: digest of the image tokenizer and the buckets of the images it learned from, as its data said.
    """

    settings: unified.Settings
    params: Any
    step: int
    codes: dict[str, Any]


def read_run(workdir: str | os.PathLike[str], stage: str, step: int | None = None) -> tuple[epath.Path, int, dict[str, Any]]:
    """Folder of checkpoints, step and config of a run of `stage`.

    Raises:
      InputError: no such run or step, or a run of another stage.
    """
    folder = epath.Path(workdir) / "checkpoints"
    if not folder.exists():
        raise InputError(f"{workdir}: not the work folder of a training run (no 'checkpoints' in it)")
    step, extras = read_extras(folder, step)
    if extras["config"].get("stage") != stage:
        raise InputError(f"{workdir}: a run of stage '{extras['config'].get('stage')}'; want stage '{stage}'")
    return folder, step, extras["config"]


def load_tokenizer(workdir: str | os.PathLike[str], step: int | None = None) -> FrozenTokenizer:
    """Reads the tokenizer of a run; every process must call this together, and gets the whole.

    Args:
      workdir: the run's work folder.
      step: which checkpoint; default the newest that is sound.

    Raises:
      InputError: no such run or step, or a run of another stage.
    """
    folder, step, found = read_run(workdir, "tokenizer", step)
    settings = config.parse(Settings, found)
    patch = settings.model.auxiliary.patch
    batch = {"image": jax.ShapeDtypeStruct((1, 2 * patch, 2 * patch, 3), jnp.uint8)}
    params, state = jax.eval_shape(build(settings).init, jax.eval_shape(lambda: jax.random.key(0)), batch)
    name = "ema" if settings.optimizer.ema_decay else "params"
    step, restored = restore_params(folder, everywhere({name: params, "model_state": state}), step)
    return FrozenTokenizer(settings.model, {"params": restored[name]["tokenizer"], **restored["model_state"]}, step, found)


def load_fusion(workdir: str | os.PathLike[str], step: int | None = None) -> FusionRun:
    """Reads a run of stage `unified`.

    Raises:
      InputError: no such run or step, or a run of another stage.
    """
    folder, step, found = read_run(workdir, "unified", step)
    settings = config.parse(unified.Settings, found)
    name = "ema" if settings.optimizer.ema_decay else "params"
    step, restored = restore_params(folder, {name: abstract_params(settings)}, step)
    _, extras = read_extras(folder, step)
    plain = dataclasses.replace(settings, model=without_sharing(settings.model))
    return FusionRun(plain, plain_params(settings, restored[name]), step, extras["data"]["codes"])


def without_sharing(model: FusionSettings) -> FusionSettings:
    """Settings of the transformer that computes the same with one table of embeddings."""
    return dataclasses.replace(model, code_levels=(), code_rows="own")


def plain_params(settings: unified.Settings, params: Any) -> Any:
    """Parameters of that transformer: the table has what codes share."""
    if not settings.model.code_levels:
        return params
    rest = {name: value for name, value in params.items() if name != "code_parts"}
    table, model = params["embed"]["embedding"], settings.model
    shared = shared_table(table, params["code_parts"], model.code_levels, model.code_rows, settings.vocabulary.first_code)
    return rest | {"embed": {"embedding": jax.device_put(shared, table.sharding)}}


def abstract_params(settings: Any) -> Any:
    """Shapes of the parameters of a transformer with these `model` and `vocabulary` settings."""
    return jax.eval_shape(functools.partial(fresh_params, settings), jax.eval_shape(lambda: jax.random.key(0)))


def fresh_params(settings: Any, key: jax.Array) -> Any:
    """The parameters of such a transformer before any training."""
    model = FusionTransformer(settings.model, settings.vocabulary.total, first_code=settings.vocabulary.first_code)
    zeros = jnp.zeros((1, 1), jnp.int32)
    batch = dict.fromkeys(("tokens", "segments", "positions", "cells"), zeros)
    batch |= dict.fromkeys(("aux_segments", "aux_releases", "aux_levels"), zeros)
    batch |= {"aux_codes": jnp.zeros((1, 1, settings.model.memory.groups), jnp.int32), "aux_places": jnp.zeros((1, 1, 4))}
    return initial_params(model, key, batch)


def everywhere(abstract: Any) -> Any:
    """The abstract tree with shardings that give every process the whole; on one process, the first device."""
    if jax.process_count() == 1:
        return abstract
    whole = sharding.replicated(Mesh(jax.devices(), ("all",)))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), abstract)
