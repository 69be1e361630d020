"""Where a cross-attention looks before it has learnt anything: from each cell of an image at the details of the same place.

Queries and keys are told their places by maps of their own. Drawn apart, these say nothing of each other: every master token
looks at the whole memory alike, sees its mean, and has no gradient that tells it where to look. What lies at one position of
256 is then learnt late or never. So the map of queries starts as that of keys. It is an initialisation and nothing more: what
a model computes from its parameters is the same, and training is free to look elsewhere.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ugf_jax.models.fusion import FusionTransformer
from ugf_jax.models.places import WAVES

STRENGTH = 3.0  # how much of a query is its place
SHARPNESS = 2.0  # of its attention, against that of a query of length 1 a feature


def initial_params(model: FusionTransformer, key: jax.Array, batch: Mapping[str, jax.Array]) -> dict[str, Any]:
    """Parameters of a model before any training.

    Args:
      model: with memory or without.
      key: random key.
      batch: arrays that `FusionTransformer.everything` takes; their values do not matter.
    """
    return align_places(model.init(key, batch, method="everything")["params"])


def align_places(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a fresh `FusionTransformer`, the cross-attentions of which, if it has any, look at their own place.

    A query of a cell then gives about a fifth of its attention to the four positions of its cell where there are 256, an even
    look 1.6 %. Text has no place and looks as before.
    """
    if "memory" not in params:
        return params
    layers = params["layers"]
    cross = layers["cross"]
    place, key, query = params["memory"]["place"]["kernel"], cross["key"]["kernel"], cross["query"]["kernel"]
    features = cross["query_norm"]["scale"].shape[-1]
    # Sizes are left out: those of cells and of positions differ everywhere by the same.
    kernel = STRENGTH * jnp.einsum("pm,gmk->gpk", place.at[WAVES:].set(0), key)
    heads = jnp.repeat(kernel.reshape(*kernel.shape[:2], -1, features), query.shape[-1] // key.shape[-1], axis=2)
    scale = SHARPNESS * cross["query_norm"]["scale"]
    cross = {**cross, "place": {"kernel": heads.reshape(*kernel.shape[:2], -1)}, "query_norm": {"scale": scale}}
    return {**params, "layers": {**layers, "cross": cross}}
