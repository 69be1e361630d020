"""Auxiliary memory for a transformer that was trained without: the two designs joined."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ugf_jax.errors import InputError
from ugf_jax.models.aligned_places import initial_params
from ugf_jax.models.fusion import FusionSettings, FusionTransformer
from ugf_jax.models.memory import MemorySettings

NEW = ("memory", "layers")  # parts with parameters that there were not


def add_memory(
    settings: FusionSettings, params: Mapping[str, Any], total: int, memory: MemorySettings, cross_every: int, seed: int = 0
) -> tuple[FusionSettings, dict[str, Any]]:
    """Adds gated cross-attentions into auxiliary memory to a transformer without.

    Their outputs are 0, so it computes exactly what it did; trained on, it learns to look.

    Args:
      settings: of the transformer; `cross_every` is 0.
      params: its parameters.
      total: rows of its table of embeddings.
      memory: sizes of the encoder of auxiliary codes.
      cross_every: blocks between two cross-attentions; divides the depth.
      seed: of the new parameters.

    Returns:
      settings and parameters of the transformer with memory.

    Raises:
      InputError: it has memory already, or a depth that is no multiple of `cross_every`.
    """
    if settings.cross_every:
        raise InputError(f"a transformer with a cross-attention every {settings.cross_every} blocks; want one without memory")
    new = dataclasses.replace(settings, memory=memory, cross_every=cross_every)
    new.validate("add_memory")
    model = FusionTransformer(new, total)
    zeros = jnp.zeros((1, 1), jnp.int32)
    batch = dict.fromkeys(("tokens", "segments", "positions", "cells", "aux_segments", "aux_releases", "aux_levels"), zeros)
    batch |= {"aux_codes": jnp.zeros((1, 1, memory.groups), jnp.int32), "aux_places": jnp.zeros((1, 1, 4))}

    @jax.jit
    def fresh(key: jax.Array) -> dict[str, Any]:
        """Only what is returned is computed, however large the rest is."""
        made = initial_params(model, key, batch)
        layers = {name: value for name, value in made["layers"].items() if not name.startswith("block_")}
        return {"memory": made["memory"], "layers": layers}

    added = fresh(jax.random.key(seed))
    blocks = params["layers"]["block_0"]
    layers = {f"block_{i}": jax.tree.map(lambda x, i=i: x[i::cross_every], blocks) for i in range(cross_every)}
    return new, {**params, "memory": added["memory"], "layers": {**layers, **added["layers"]}}
