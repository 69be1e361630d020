"""Block sizes of the flash kernels, and arrays padded to them."""

import dataclasses

import jax
import jax.numpy as jnp

MAX_FEATURES = 256  # of a head, for which blocks still fit
SMALLEST = 16  # side of a product that Triton takes


@dataclasses.dataclass(frozen=True)
class Tile:
    """Queries and keys of a block, both powers of 2, warps of a program, and loads that are kept under way."""

    queries: int
    keys: int
    warps: int = 4
    stages: int = 2

    def fit(self, queries: int, keys: int) -> "Tile":
        """No larger than needed for so many queries and keys."""
        return dataclasses.replace(
            self, queries=min(self.queries, power_of_two(queries)), keys=min(self.keys, power_of_two(keys))
        )


@dataclasses.dataclass(frozen=True)
class Tiles:
    """A tile for each kernel."""

    forward: Tile
    query_gradient: Tile
    key_gradient: Tile


def default_tiles(features: int, item_size: int) -> Tiles:
    """Tiles whose blocks fit into the shared memory of NVIDIA devices since 2020 (99 KiB a program) and into their registers.

    Args:
      features: of a head.
      item_size: bytes of a number of query, key and value.
    """
    if item_size > 2:
        size = 32 if features <= 128 else 16
        return Tiles(Tile(2 * size, size), Tile(size, size), Tile(size, size))
    if features <= 64:
        return Tiles(Tile(128, 64, stages=3), Tile(64, 64), Tile(64, 64))
    if features <= 128:
        return Tiles(Tile(128, 64, warps=8), Tile(64, 64, warps=8), Tile(64, 64, warps=8))
    return Tiles(Tile(64, 32, warps=8), Tile(32, 32), Tile(32, 32))


def power_of_two(length: int) -> int:
    """The least power of 2 that is at least `length` and that a product takes."""
    return max(SMALLEST, 1 << (length - 1).bit_length())


def pad(x: jax.Array, size: int) -> jax.Array:
    """`[batch, length, heads, features]` with zeros up to a multiple of `size` and a power of 2."""
    length, features = x.shape[1], x.shape[3]
    return jnp.pad(x, ((0, 0), (0, -length % size), (0, 0), (0, power_of_two(features) - features)))


def pad_rows(x: jax.Array, size: int) -> jax.Array:
    """`[batch, heads, length]` with zeros up to a multiple of `size`."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, -x.shape[2] % size)))
