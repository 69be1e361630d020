"""A run of stage `unitoken` as a whole model: its transformer, and all else of the imported model that training began with."""

import os
import pathlib
from typing import Any

import jax

import ugf_jax
from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.training.bundle import TEXT, UniTokenSettings, is_bundle, load_bundle, read_settings, save_bundle
from ugf_jax.training.checkpoints import restore_params
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.frozen import everywhere, fresh_params, read_run
from ugf_jax.training.stages.unitoken import Settings

STAGE = "unitoken"


def export_unitoken(
    run: str | os.PathLike[str], out: str | os.PathLike[str], base: str | os.PathLike[str] = "", dtype: str = "float32"
) -> UniTokenSettings:
    """Makes a model of a run.

    Args:
      run: its work folder.
      out: made if it does not exist.
      base: the model of `ugf import` that training began with, perhaps several runs ago; empty: found by `config.init_from`.
      dtype: in which floats are stored.

    Returns:
      the settings of the model.

    Raises:
      InputError: no such run, no such model, or ones that do not go together; or `out` holds another model.
    """
    checkpoints, step, found = read_run(run, STAGE)
    settings = config.parse(Settings, found)
    start = pathlib.Path(base) if str(base) else beginning(run)
    known = read_settings(start)
    if not isinstance(known, UniTokenSettings) or known.vocabulary != settings.vocabulary:
        raise InputError(f"{start}: not a model of the ids that {run} was trained with; name the imported one with --base")
    name = "ema" if settings.optimizer.ema_decay else "params"
    abstract = jax.eval_shape(lambda: fresh_params(settings, jax.random.key(0)))
    step, restored = restore_params(checkpoints, everywhere({name: abstract}), step)
    variables: dict[str, Any] = {"fusion": restored[name]}
    if known.codes:  # an image tokenizer came with the model
        variables["tokenizer"] = load_bundle(start).variables["tokenizer"]
    made = UniTokenSettings(
        tokenizer=known.tokenizer,
        vocabulary=settings.vocabulary,
        model=settings.model,
        codes=known.codes,
        steps=known.steps | {STAGE: step},
        imported=known.imported,
    )
    count = sum(x.size for x in named_leaves(variables).values())
    made_by = f"made by UGF-JAX {ugf_jax.__version__} from `{start.resolve().name}` by {step} steps of training"
    card = f"# A UniToken\n\n{count / 1e6:.1f} million parameters, {made_by}.\n\nThe limits of use of the original apply.\n"
    save_bundle(out, made, variables, (start / TEXT).read_bytes(), card, dtype)
    return made


def beginning(run: str | os.PathLike[str]) -> pathlib.Path:
    """The imported model that a run, or the run that it continues, began with.

    Raises:
      InputError: it began with none, or with one that is no longer there.
    """
    seen = [pathlib.Path(run)]
    while True:
        found = read_run(seen[-1], STAGE)[2]
        before = found.get("init_from") or found.get("resume")
        if not before:
            raise InputError(f"{seen[-1]}: began with no imported model; name one with --base=FOLDER")
        path = pathlib.Path(before)
        if is_bundle(path):
            return path
        if path in seen or not path.is_dir():
            raise InputError(f"{seen[-1]}: began with {path}, which is not there; name the imported model with --base=FOLDER")
        seen.append(path)
