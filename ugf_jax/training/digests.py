"""Digests of arrays that depend on their values only, not on how they are sharded or over how many hosts.

The array's bits are read as 32-bit words, counted in row-major order of the whole array. Each word is mixed with its
position by a bijection and the results are summed modulo 2³², twice with different constants. Modular addition may be done
in any order, so each shard is summed where it lies and only the sums travel. Any change within one word (so any one flipped
bit) changes both sums with certainty; any other damage goes unseen with a chance of about 2⁻⁶⁴.

Accelerators sum on the device. On CPU NumPy does the same sums: XLA would take 0.1 s to compile each shape.
"""

import functools
import hashlib
import itertools
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

_CHUNK = 2**18  # words summed at a time on the host: temporaries stay in the cache


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of `tree` by path, e.g. `params/encoder/kernel`.

    Raises:
      ValueError: two leaves have the same path.
    """
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in named:
            raise ValueError(f"two leaves are named {name}")
        named[name] = leaf
    return named


def is_key(x: Any) -> bool:
    """Whether an array or its abstract form holds typed PRNG keys."""
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def digests(arrays: dict[str, jax.Array]) -> dict[str, str]:
    """The digest of each array as 16 hexadecimal digits; every process gets all of them and must call this together."""
    arrays = {name: jax.random.key_data(x) if is_key(x) else x for name, x in arrays.items()}
    on_host = {name for name, x in arrays.items() if _on_cpu(x.sharding)}
    # All device sums are dispatched before the first is waited for.
    pending = {name: _compiled(_replicated(x))(x) for name, x in arrays.items() if name not in on_host}
    sums = {name: np.asarray(x) for name, x in pending.items()}
    if on_host:
        ordered = [name for name in arrays if name in on_host]
        partial = np.stack([host_digest(arrays[name]) for name in ordered])
        if jax.process_count() > 1:
            partial = multihost_utils.process_allgather(partial).sum(0, dtype=np.uint32)
        sums |= dict(zip(ordered, partial, strict=True))
    return {name: "".join(f"{int(v):08x}" for v in sums[name]) for name in arrays}


def _on_cpu(sharding: Any) -> bool:
    return next(iter(sharding.device_set)).platform == "cpu"


def _replicated(x: jax.Array) -> jax.sharding.Sharding | None:
    return jax.NamedSharding(x.sharding.mesh, jax.P()) if isinstance(x.sharding, jax.NamedSharding) else None


@functools.cache
def _compiled(out: jax.sharding.Sharding | None) -> Any:
    return jax.jit(digest, out_shardings=out)


def digest(x: jax.Array) -> jax.Array:
    """Two sums, uint32 `[2]`, of an array of any shape and of any dtype but PRNG keys (for jit)."""
    x = _whole_bytes(x)
    bits = {1: jnp.uint8, 2: jnp.uint16}.get(x.dtype.itemsize, jnp.uint32)
    words = jax.lax.bitcast_convert_type(x, bits).astype(jnp.uint32)  # 64-bit types become two words in a last axis
    position = jnp.zeros(words.shape, jnp.uint32)
    for axis, stride in enumerate(_strides(words.shape)):
        position += jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis) * stride
    return jnp.stack([jnp.sum(term, dtype=jnp.uint32) for term in _terms(words, position)])


def host_digest(x: jax.Array) -> np.ndarray:
    """The part of `digest(x)` that this process holds, uint32 `[2]`; the parts of all processes sum to the whole."""
    total = np.zeros(2, np.uint32)
    for shard in x.addressable_shards:
        if shard.replica_id == 0 and shard.data.size:
            starts = [s.start or 0 for s in shard.index]
            total += _shard_sums(np.asarray(shard.data), starts, x.shape)
    return total


def _shard_sums(data: np.ndarray, starts: list[int], shape: tuple[int, ...]) -> np.ndarray:
    data = np.asarray(_whole_bytes(data), order="C")[..., None]
    words = data.view({1: np.uint8, 2: np.uint16}.get(data.dtype.itemsize, np.uint32))
    strides = _strides((*shape, words.shape[-1]))
    first, *rest = (
        np.arange(start, start + n, dtype=np.uint64).astype(np.uint32) * stride
        for start, n, stride in zip([*starts, 0], words.shape, strides, strict=True)
    )
    inner = functools.reduce(lambda a, b: np.add.outer(a, b).ravel(), rest, np.zeros(1, np.uint32))
    words = words.reshape(first.size, inner.size)
    total = np.zeros(2, np.uint32)
    columns = min(inner.size, _CHUNK)
    rows = max(1, _CHUNK // columns)
    for r, c in itertools.product(range(0, first.size, rows), range(0, inner.size, columns)):
        part = words[r : r + rows, c : c + columns].astype(np.uint32)
        position = np.add.outer(first[r : r + rows], inner[c : c + columns])
        total += np.array([term.sum(dtype=np.uint32) for term in _terms(part, position)])
    return total


def _strides(shape: tuple[int, ...]) -> list[np.uint32]:
    return [np.uint32(math.prod(shape[axis + 1 :]) % 2**32) for axis in range(len(shape))]


def _terms(words: Any, position: Any) -> list[Any]:
    return [_mixed(words ^ (position * np.uint32(constant))) for constant in (0x9E3779B1, 0xC2B2AE3D)]


def _mixed(x: Any) -> Any:
    # Multiplication carries changes to higher bits, shifts bring them down again (the finalizer of MurmurHash3).
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    return x


def _whole_bytes(x: Any) -> Any:
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"arrays of {x.dtype} have no digest")
    if x.dtype == jnp.bool_:
        return x.astype(np.uint8)
    return x.astype(np.int8) if jnp.issubdtype(x.dtype, jnp.integer) and jnp.iinfo(x.dtype).bits < 8 else x


def fingerprint(tree: Any) -> str:
    """SHA-256 over names, shapes, types and digests of all arrays of a tree."""
    leaves = named_leaves(tree)
    found = digests(leaves)
    listing = sorted((name, str(x.dtype), x.shape, found[name]) for name, x in leaves.items())
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
