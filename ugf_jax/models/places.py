"""Where something lies in its image, as features: the same for any resolution and aspect ratio."""

import jax
import jax.numpy as jnp

OCTAVES = 6  # the finest wave is 1/64 of the image long: a cell of a 64 × 64 grid
WAVES = 4 * OCTAVES
FEATURES = WAVES + 2


def place_features(places: jax.Array) -> jax.Array:
    """Waves of the centre and the logarithm of the size (Fourier features; Tancik et al. 2020).

    Args:
      places: float32 `[..., 4]`: y, x of the centre, height and width, all as fractions of the image; where the height is 0
        there is no place and the features are 0.

    Returns:
      float32 `[..., FEATURES]`: first the WAVES, then the sizes.
    """
    centre, size = places[..., :2], places[..., 2:]
    phase = centre[..., None] * (jnp.pi * 2.0 ** jnp.arange(OCTAVES))
    waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1).reshape(*places.shape[:-1], -1)
    features = jnp.concatenate([waves, jnp.log2(jnp.maximum(size, 2.0**-12)) / 8], axis=-1)
    return jnp.where(places[..., 2:3] > 0, features, 0.0)


def cell_places(cells: jax.Array, grid: int) -> jax.Array:
    """Places float32 `[..., 4]` of the cells (row · grid + column; negative: none) of a square grid."""
    row, column = jnp.divmod(jnp.maximum(cells, 0), grid)
    side = jnp.full(cells.shape, 1 / grid)
    places = jnp.stack([(row + 0.5) / grid, (column + 0.5) / grid, side, side], axis=-1)
    return jnp.where(cells[..., None] >= 0, places, 0.0)
