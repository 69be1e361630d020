"""An image tokenizer of another project as the beginning of a training run of stage `tokenizer`.

Its network is the master tokenizer, and stays as it is: in training neither its codes move nor, if the config says so, its
parameters. The auxiliary tokenizer beside it is new. It paints nothing before it is trained, so that the whole shows what the
imported network shows.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ugf_jax import config
from ugf_jax.data.loader import DataSettings
from ugf_jax.errors import InputError
from ugf_jax.interop import vqgan
from ugf_jax.interop.image_tokenizers import ImportedVQ
from ugf_jax.interop.source import Source
from ugf_jax.json_files import write_json
from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.tokenizer import TokenizerSettings
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.stages.tokenizer import Settings, build

CONFIG, CHECKPOINTS = "config.json", "checkpoints"


def table(source: Source) -> list[str]:
    """Lines that say what becomes of each tensor of an image tokenizer.

    Raises:
      InputError: there is none in the source.
    """
    found = vqgan.find(source)
    lines = []
    for part in ("encoder", "decoder")[: 1 + found.decodes]:
        rules, shapes = vqgan.mapping(found, part)
        lines += [f"{name} {list(shapes[name])} <- {rule.sources[0]}, {rule.change.name}" for name, rule in rules.items()]
    return [*lines, f"codebook {list(source.shape(found.prefix + vqgan.CODEBOOK))} <- {found.prefix}{vqgan.CODEBOOK}"]


def describe(imported: ImportedVQ) -> str:
    """A line for people."""
    count = sum(int(x.size) for x in jax.tree.leaves(imported.variables["params"]))
    size, features = imported.quantizer.size, imported.quantizer.features
    return (
        f"VQ-GAN ({imported.naming}), {size:,} codes of {features} features, {imported.settings.patch} pixels a code, "
        f"{count / 1e6:.1f} million parameters"
    )


def import_image_tokenizer(
    imported: ImportedVQ, out: str | os.PathLike[str], size: int, seed: int = 0, auxiliary: AuxiliarySettings | None = None
) -> Settings:
    """Writes a work folder whose run is at step 0.

    Args:
      imported: with encoder and decoder.
      out: made if it does not exist.
      size: side in pixels of the square that images are squashed to before they are coded.
      seed: of the auxiliary tokenizer's parameters.
      auxiliary: its sizes.

    Returns:
      the config of the run.

    Raises:
      InputError: there is no decoder, a size that codes do not divide, or the folder holds something already.
    """
    folder = pathlib.Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"OUT {folder}: holds something already; name another folder or delete it")
    master, variables = imported.master(size)
    # Codes that are at the mean of what they stand for already, and are not forgotten, stay where they are.
    still = dataclasses.replace(master, quantizer=dataclasses.replace(master.quantizer, decay=1.0, restart=0.0))
    model = TokenizerSettings(master=still, auxiliary=auxiliary or AuxiliarySettings())
    settings = Settings(model=model, data=DataSettings(scales=((size, 16),), patch=model.auxiliary.patch))
    config.parse(Settings, config.to_json(settings))  # says what does not go together
    stage = build(settings)
    image = jnp.zeros((1, 2 * model.auxiliary.patch, 2 * model.auxiliary.patch, 3), jnp.uint8)
    state = _joined(lambda key: stage.init(key, {"image": image}), jax.random.key(seed), variables)
    folder.mkdir(parents=True, exist_ok=True)
    extras = {"config": config.to_json(settings), "data": {}, "time": {}, "about": stage.about}
    with Checkpointer(folder / CHECKPOINTS) as checkpoints:
        checkpoints.save(0, state, extras)
    write_json(folder / CONFIG, config.to_json(settings))
    return settings


def _joined(init: Callable[[jax.Array], Any], key: jax.Array, master: dict[str, Any]) -> dict[str, Any]:
    """Fresh parameters and codebooks, with those of the imported master in the place of its own."""
    places = {"params": ("params", "tokenizer", "master"), "codebook": ("model_state", "codebook", "master")}

    def rest(key: jax.Array) -> dict[str, jax.Array]:
        """All else; what is not returned is not computed."""
        params, state = init(key)
        leaves = named_leaves({"params": params, "model_state": state})
        return {name: x for name, x in leaves.items() if not name.startswith(tuple("/".join(p) for p in places.values()))}

    leaves = dict(jax.jit(rest)(key))
    leaves |= {
        f"{'/'.join(places[part])}/{n}": jnp.asarray(x) for part in places for n, x in named_leaves(master[part]).items()
    }
    params, state = jax.eval_shape(init, key)
    abstract = {"params": params, "model_state": state}
    for name, x in named_leaves(abstract).items():
        assert leaves[name].shape == x.shape, f"{name} is {leaves[name].shape}; want {x.shape}"
    return jax.tree.unflatten(jax.tree.structure(abstract), [leaves[name] for name in named_leaves(abstract)])
