import jax.numpy as jnp
import pytest

from ugf_jax.models.kernels.tiles import Tile, default_tiles, pad, pad_rows, power_of_two


@pytest.mark.parametrize("features", [16, 32, 64, 80, 128, 256])
@pytest.mark.parametrize("item_size", [2, 4])
def test_what_a_program_loads_fits_into_shared_memory(features, item_size):
    tiles = default_tiles(features, item_size)
    for tile, blocks in ((tiles.forward, 1), (tiles.query_gradient, 2), (tiles.key_gradient, 2)):
        assert power_of_two(tile.queries) == tile.queries
        assert power_of_two(tile.keys) == tile.keys
        loaded = blocks * tile.queries + 2 * tile.keys * (tile.stages - 1)
        assert loaded * power_of_two(features) * item_size <= 99 * 1024


def test_tiles_shrink_to_short_lengths():
    assert Tile(128, 64).fit(20, 3) == Tile(32, 16)
    assert Tile(128, 64).fit(1000, 1000) == Tile(128, 64)


def test_padding_goes_to_whole_blocks_and_powers_of_two():
    x = jnp.ones((2, 33, 3, 20))
    padded = pad(x, 16)
    assert padded.shape == (2, 48, 3, 32)
    assert padded.sum() == x.sum()
    assert pad_rows(jnp.ones((2, 3, 33)), 16).shape == (2, 3, 48)
