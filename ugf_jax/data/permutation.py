"""Random orders that are computed, not stored: a keyed bijection on `[0, size)` for any size.

A generalised Feistel network on `Z_a × Z_b` with `a·b ≥ size` (Black and Rogaway, "Ciphers with arbitrary finite
domains", 2002, section 4), walked along its cycles until it lands below `size`. It needs no memory, any element of the order
is found at once, and it is made of 64-bit integer arithmetic only, so that it is the same on every machine and forever.
"""

import numpy as np

ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Integers = int | np.ndarray


def mix(x: np.ndarray) -> np.ndarray:
    """A bijection of uint64 whose outputs look random (the finaliser of SplitMix64; Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key(*parts: Integers) -> np.ndarray:
    """One uint64 of `[..., 1]` or the broadcast shape from integers and integer arrays; the order of the parts matters."""
    made = np.zeros(1, np.uint64)
    for part in parts:
        made = mix((made ^ mix(np.atleast_1d(part).astype(np.uint64) + _GOLDEN)) + _GOLDEN)
    return made


def permute(index: np.ndarray, size: Integers, keys: np.ndarray) -> np.ndarray:
    """Where a random permutation of `[0, size)` puts `index`.

    Args:
      index: integers `[n]` in `[0, size)`.
      size: one size, or one for each index `[n]`.
      keys: uint64 `[1]`, or one for each index `[n]`; each key is another permutation.

    Returns:
      int64 `[n]`.
    """
    index = np.asarray(index).astype(np.uint64)
    sizes: np.ndarray = np.broadcast_to(np.asarray(size, np.uint64), index.shape)
    keys = np.broadcast_to(keys, index.shape)
    result = _network(index, sizes, keys)
    outside = np.flatnonzero(result >= sizes)
    while len(outside):
        result[outside] = _network(result[outside], sizes[outside], keys[outside])
        outside = outside[result[outside] >= sizes[outside]]
    return result.astype(np.int64)


def _network(x: np.ndarray, sizes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    columns = np.ceil(np.sqrt(sizes.astype(np.float64))).astype(np.uint64)
    rows = (sizes + columns - np.uint64(1)) // columns
    left: np.ndarray = x // columns
    right: np.ndarray = x % columns
    for number in range(ROUNDS):
        round_keys = keys + np.array([number + 1], np.uint64) * _GOLDEN
        if number % 2:
            left = (left + mix(mix(right ^ round_keys)) % rows) % rows
        else:
            right = (right + mix(mix(left ^ round_keys)) % columns) % columns
    return left * columns + right
