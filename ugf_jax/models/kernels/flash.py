"""Flash attention for NVIDIA devices in Pallas, lowered through Triton (Dao et al. 2022; Dao 2023).

Segments, positions and releases are read block by block, and blocks in which nobody sees anybody are not visited. In
Pallas's interpreter the same kernels run on any device, slowly: that is meant for tests. Products of float32 are taken in
TF32, as XLA does on these devices, unless `jax_default_matmul_precision` says otherwise.
"""

import functools

import jax

from ugf_jax.models.kernels import flash_backward, flash_forward
from ugf_jax.models.kernels.recompute import recomputing
from ugf_jax.models.kernels.tiles import MAX_FEATURES, Tiles, default_tiles
from ugf_jax.models.kernels.visibility import Visibility


def flash(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    visibility: Visibility,
    ordered: bool,
    tiles: Tiles | None = None,
    interpret: bool = False,
) -> jax.Array:
    """See `ugf_jax.models.visible.attend`. Memory beside the arrays: two numbers a query and head, and one a pair of blocks.

    Lengths and features that are no multiple of a block and no power of 2 are padded.

    Args:
      query: `[batch, queries, heads, features]`, at most 256 features.
      key: `[batch, keys, kv heads, features]`.
      value: like `key`.
      visibility: which query sees which key.
      ordered: hide keys of a later index.
      tiles: block sizes; by default those for the number of features.
      interpret: run in Pallas's interpreter.
    """
    if query.shape[-1] > MAX_FEATURES:
        raise ValueError(f"flash attention with {query.shape[-1]} features a head; want at most {MAX_FEATURES}")
    tiles = tiles or default_tiles(query.shape[-1], query.dtype.itemsize)
    forward = functools.partial(flash_forward.forward, tile=tiles.forward, ordered=ordered, interpret=interpret)
    backward = functools.partial(flash_backward.backward, tiles=tiles, ordered=ordered, interpret=interpret)
    return recomputing(forward, backward)(query, key, value, visibility)
