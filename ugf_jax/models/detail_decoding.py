"""From the master's image to the whole picture: auxiliary codes drawn by the detail model, level by level."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.models.detail import DetailModel
from ugf_jax.models.tokenizer import DualTokenizer, coarser, level_sizes
from ugf_jax.models.unmasking import UnmaskSettings, keys_of, unmask


@flax.struct.dataclass
class Details:
    """Drawn codes, as in `Codes`, and what they show.

    Attributes:
      auxiliary: one int32 `[batch, rows, columns, groups]` per level, coarse to fine; 0 where skipped.
      kept: one bool `[batch, rows, columns]` per level.
      recon: float32 `[batch, height, width, 3]`, not clipped.
    """

    auxiliary: tuple[jax.Array, ...]
    kept: tuple[jax.Array, ...]
    recon: jax.Array


def draw_details(
    tokenizer: DualTokenizer,
    variables: Any,
    model: DetailModel,
    params: Any,
    low: jax.Array,
    size: tuple[int, int],
    key: jax.Array,
    settings: UnmaskSettings,
) -> Details:
    """Draws the auxiliary codes of a batch; the cost is linear in its pixels.

    Args:
      tokenizer: whose codes they are.
      variables: of the tokenizer.
      model: the detail model.
      params: of the detail model.
      low: `[batch, size, size, 3]`, the master's image.
      size: `(height, width)` in pixels, multiples of the auxiliary patch.
      key: random key, or one for each image `[batch]`.
      settings: how to draw.
    """
    a = tokenizer.settings.auxiliary
    keys = keys_of(key, len(low))
    recon: Any = low
    auxiliary, everything_kept = [], []
    for level, (height, width) in enumerate(level_sizes(*size, a.levels, a.patch)):
        up = coarser(recon, height, width)
        shape = (len(low), height // a.patch, width // a.patch, a.groups)

        def predict(*known: jax.Array, up: jax.Array = up, level: int = level) -> Any:
            return model.apply({"params": params}, up, *known, level)

        nothing = jnp.zeros(shape, jnp.int32), jnp.ones(shape, bool), jnp.ones(shape[:-1], bool)
        level_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, level)
        index, kept = unmask(predict, *nothing, model.digits, level_keys, settings)
        recon = tokenizer.apply(variables, index, up, kept, level, method="paint")
        auxiliary.append(index)
        everything_kept.append(kept)
    return Details(tuple(auxiliary), tuple(everything_kept), recon)
