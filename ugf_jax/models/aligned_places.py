"""Where a cross-attention looks before it has learnt anything: from each cell of an image at the details of the same place.

Queries and keys are told their places by maps of their own. Drawn apart, these say nothing of each other: every master token
looks at the whole memory alike, sees its mean, and has no gradient that tells it where to look. What lies at one position of
256 is then learnt late or never. And where all heads look at the same place, a cell sees the mean of its positions, and not
which lies where. So keys start as an undistorted image of their places, queries as that of the place of their cell, and each
head looks at a part of the cell of its own, as if the cell were cut into as many patches. It is an initialisation and nothing
more: what a model computes from its parameters is the same, and training is free to look elsewhere.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.fusion import FusionTransformer
from ugf_jax.models.places import FEATURES, OCTAVES, WAVES

STRENGTH = 4.0  # how much of a query is its place
SHARPNESS = 3.0  # of its attention, against that of a query of length 1 a feature


def initial_params(model: FusionTransformer, key: jax.Array, batch: Mapping[str, jax.Array]) -> dict[str, Any]:
    """Parameters of a model before any training.

    Args:
      model: with memory or without.
      key: random key.
      batch: arrays that `FusionTransformer.everything` takes; their values do not matter.
    """
    return align_places(model.init(key, batch, method="everything")["params"], model.settings.grid)


def align_places(params: dict[str, Any], grid: int) -> dict[str, Any]:
    """Parameters of a fresh `FusionTransformer`, the cross-attentions of which, if it has any, look at their own place.

    With four heads and two by two positions in a cell, each head then gives most of its attention to a position of its own.
    Text has no place and looks as before.

    Args:
      params: of a model with memory or without.
      grid: master codes along a side.
    """
    if "memory" not in params:
        return params
    layers = params["layers"]
    cross = layers["cross"]
    features = cross["query_norm"]["scale"].shape[-1]
    groups, width, kv = cross["key"]["kernel"].shape
    heads, kv_heads = cross["query"]["kernel"].shape[-1] // features, kv // features
    place = params["memory"]["place"]["kernel"]
    # The part of a memory that tells its place, read back; what codes add to it is left out as far as the width allows.
    read_back = jnp.linalg.pinv(place[:WAVES])
    drawn = jnp.einsum("pm,gmk->gpk", place[:WAVES], cross["key"]["kernel"]).reshape(groups, WAVES, kv_heads, features)
    images = _undistorted(drawn.swapaxes(1, 2))  # [groups, kv heads, WAVES, features]
    key = jnp.einsum("mp,ghpf->gmhf", read_back, images).reshape(groups, width, kv)
    moved = jnp.stack([shift(*offset) for offset in offsets(heads, grid)])
    query = jnp.einsum("hpq,ghqf->gphf", moved, jnp.repeat(images, heads // kv_heads, axis=1))
    # Waves of a place are of length sqrt(2 · OCTAVES): a query that is told them is of length STRENGTH a feature.
    query = STRENGTH * (features / (2 * OCTAVES)) ** 0.5 * query.reshape(groups, WAVES, -1)
    query = jnp.pad(query, ((0, 0), (0, FEATURES - WAVES), (0, 0)))  # sizes are left out
    return {
        **params,
        "layers": {
            **layers,
            "cross": {
                **cross,
                "key": {"kernel": key},
                "place": {"kernel": query},
                "query_norm": {"scale": SHARPNESS * cross["query_norm"]["scale"]},
            },
        },
    }


def offsets(heads: int, grid: int) -> np.ndarray:
    """From the centre of a cell to where each head looks, `[heads, 2]` (y, x), as fractions of the image.

    The cell is cut into as few squares as there are heads or more, and they are taken row by row.
    """
    side = math.isqrt(heads - 1) + 1
    return (np.stack(np.divmod(np.arange(heads), side), axis=1) + 0.5 - side / 2) / (side * grid)


def shift(y: float, x: float) -> np.ndarray:
    """The map `[WAVES, WAVES]` from the waves of a place to those of the place so much further on."""
    turned = np.zeros((2, 2, OCTAVES, 2, 2, OCTAVES))  # axis, sine or cosine, octave; as `place_features` orders them
    for axis, far in enumerate((y, x)):
        for octave in range(OCTAVES):
            angle = np.pi * 2.0**octave * far
            turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            turned[axis, :, octave, axis, :, octave] = turn
    return turned.reshape(WAVES, WAVES)


def _undistorted(matrices: jax.Array) -> jax.Array:
    """The nearest matrices `[..., m, n]` whose rows (or columns, if these are fewer) are orthonormal: polar factors."""
    left, _, right = jnp.linalg.svd(matrices, full_matrices=False)
    return left @ right
