"""What a document has said so far, told to each of its codes: the mean of the embeddings of its tokens that are no codes.

Attention finds in the words which colour to draw only after tens of thousands of pictures: at first it looks at all of some
hundred tokens alike, most of them background. The mean over the words alone says from the start what is asked for, if not in
which order; that is left to attention. (Pooled text beside attention: Podell et al. 2023, SDXL, section 2.1.)
"""

import jax
import jax.numpy as jnp

# What the mean adds has to stay small beside embeddings, which begin at 0.02: with a share of 1 it drowned the codes.
SHARE = 0.1


def running_sums(x: jax.Array, cells: jax.Array, positions: jax.Array) -> jax.Array:
    """Sums over each document up to each token, of tokens that are no codes.

    Args:
      x: embeddings `[batch, positions, width]`.
      cells: int32 `[batch, positions]`, -1 where a token is no code.
      positions: int32, likewise, within the document; tokens of a document follow each other.

    Returns:
      float32 `[batch, positions, width + 1]`; the last feature counts.
    """
    total = jnp.cumsum(counted(x, cells), axis=1)
    first = jnp.arange(x.shape[1]) - positions
    before = jnp.take_along_axis(jnp.pad(total, ((0, 0), (1, 0), (0, 0))), first[..., None], axis=1)
    return total - before


def counted(x: jax.Array, cells: jax.Array) -> jax.Array:
    """What each token adds to the sums: float32 `[..., width + 1]` of embeddings `[..., width]`; zeros for a code."""
    return jnp.where(
        cells[..., None] < 0, jnp.pad(x.astype(jnp.float32), [(0, 0)] * (x.ndim - 1) + [(0, 1)], constant_values=1), 0
    )


def mean_words(sums: jax.Array, cells: jax.Array) -> jax.Array:
    """The mean of sums `[..., width + 1]`, scaled to a root mean square of 1; zeros at tokens that are no codes."""
    mean = sums[..., :-1] / jnp.maximum(sums[..., -1:], 1)
    mean = mean * jax.lax.rsqrt(jnp.mean(mean * mean, axis=-1, keepdims=True) + 1e-6)
    return jnp.where(cells[..., None] >= 0, mean, 0)
