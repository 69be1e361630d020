"""Master codes of encoders that have nothing to learn: the mean colour of a patch, or a colour and what of it that covers.

Such a code says less than one that was learned, and the same wherever it stands: what is a shape in a grid of them can be
learned from few images, where learned codes, which hash a patch's contents into a number, take many. Edges are left to the
decoder, which learns to draw what has such codes, and to the auxiliary codes.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.patches import split_patches

MASK = 8  # pixels a side of what is kept of where in its patch a colour is
PARTS = (3, MASK**2)  # features of a colour, and of where it is
_CONTRAST = 0.25  # least distance of two colours in a patch, for it to have two; colours go from -1 to 1
_SPARSE = 4  # every so many rows and columns give the median of a picture
_PURE = 0.9  # share of a colour in a pixel from which on the pixel tells the colour
_LEAST = 1 / 16  # share of a patch that a colour must cover to be named
_FLAT_WEIGHT = 0.02  # of patches of one colour when codebooks are learned: almost all are, and all alike


def mean_colours(low: jax.Array, patch: int, levels: tuple[int, ...]) -> jax.Array:
    """The mean red, green and blue of each patch, each rounded to its levels.

    Args:
      low: float32 `[batch, height, width, 3]` in [-1, 1].
      patch: pixels a side.
      levels: of each colour; the first and the last are the ends of the range.

    Returns:
      int32 `[batch, height / patch, width / patch]`, numbered as by `FSQ`: the first level counts ones.
    """
    return _number(_rounded(jnp.mean(_pixels(low, patch), axis=-2), levels), levels)


def coverage(low: jax.Array, patch: int) -> tuple[jax.Array, jax.Array]:
    """The colour of each patch and where in the patch it is.

    A patch is taken to hold up to two colours, as in block truncation coding (Delp and Mitchell 1979). Of the two that is named
    which is farther from the picture's median; the other is what lies around. So the outline of a shape is one pattern of
    masks whatever its colour: a mean would be another number for each pair of colours that meet along it.

    Args:
      low: float32 `[batch, height, width, 3]` in [-1, 1].
      patch: pixels a side, a multiple of `MASK`.

    Returns:
      float32 `[batch, height / patch, width / patch, sum of PARTS]`: red, green, blue; and the share of the colour, 0 to 1, in
      the `MASK`×`MASK` parts of the patch, row by row; and how much each patch should count, `[batch, …, …]`, when codebooks
      for them are learned.
    """
    pixels = _pixels(low, patch)
    around = jnp.median(low[:, ::_SPARSE, ::_SPARSE].astype(jnp.float32), axis=(1, 2))[:, None, None, None]
    first = _farthest(pixels, around)
    second = _farthest(pixels, first)
    line = first - second
    length = jnp.sum(line**2, axis=-1)  # squared, [batch, rows, columns, 1]
    share = jnp.clip(jnp.sum((pixels - second) * line, axis=-1) / jnp.maximum(length, 1e-6), 0, 1)
    covered = jnp.mean(share, axis=-1) >= _LEAST
    uniform = length[..., 0] < _CONTRAST**2
    two = jnp.where(covered[..., None], _mean(pixels, share >= _PURE), _mean(pixels, share <= 1 - _PURE))
    colour = jnp.where(uniform[..., None], jnp.mean(pixels, axis=-2), two)
    flat = uniform | ~covered
    size = patch // MASK
    mask = jnp.mean(share.reshape(*share.shape[:-1], MASK, size, MASK, size), axis=(-3, -1)).reshape(*share.shape[:-1], -1)
    weight = jnp.where(flat, _FLAT_WEIGHT, 1.0)
    return jnp.concatenate([colour, jnp.where(flat[..., None], 1.0, mask)], axis=-1), weight


def _pixels(low: jax.Array, patch: int) -> jax.Array:
    """Float32 `[batch, rows, columns, patch², 3]`."""
    patches = split_patches(low.astype(jnp.float32), patch)
    return patches.reshape(*patches.shape[:-1], patch**2, 3)


def _farthest(pixels: jax.Array, colour: jax.Array) -> jax.Array:
    """The pixel of each patch `[batch, rows, columns, pixels, 3]` that is farthest from a colour: as one pixel."""
    place = jnp.argmax(jnp.sum((pixels - colour) ** 2, axis=-1), axis=-1)
    return jnp.take_along_axis(pixels, place[..., None, None], axis=-2)


def _mean(pixels: jax.Array, chosen: jax.Array) -> jax.Array:
    """Mean of the chosen pixels of each patch, `[batch, rows, columns, 3]`; of none, 0."""
    count = jnp.maximum(jnp.sum(chosen, axis=-1), 1)
    return jnp.sum(pixels * chosen[..., None], axis=-2) / count[..., None]


def _rounded(colour: jax.Array, levels: tuple[int, ...]) -> jax.Array:
    """Colours `[..., 3]` in [-1, 1] to levels, int32."""
    top = jnp.asarray(levels, jnp.float32) - 1
    return jnp.clip(jnp.round((colour + 1) / 2 * top), 0, top).astype(jnp.int32)


def _number(digits: jax.Array, levels: tuple[int, ...]) -> jax.Array:
    return jnp.sum(digits * jnp.asarray(np.cumprod((1, *levels[:-1])), jnp.int32), axis=-1)
