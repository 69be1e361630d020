"""What a step keeps in the memory of one device, by kind."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

FREE = 0.9  # of the memory that a plan may fill: the runtime needs some, and the compiler's figures are not exact


def bytes_of(tree: Any) -> float:
    """Bytes that abstract arrays take on one device."""
    return sum(_item(x) * math.prod(_shard(x)) for x in jax.tree.leaves(tree))


def activations(loss: Any, arguments: tuple[Any, ...], rows: int, shards: int) -> float:
    """Bytes that one device keeps from the forward pass for the backward pass.

    Counted are the residuals of `jax.vjp` that have the batch among their first two axes (scanned layers come before it);
    the compiler may keep fewer. What else the backward pass reads are parameters.

    Args:
      loss: of a stage.
      arguments: abstract ones of it, parameters first.
      rows: of the batch.
      shards: over which they are spread.
    """
    params, *rest = arguments

    def pull(params: Any, *rest: Any) -> Any:
        return jax.vjp(lambda p: loss(p, *rest)[0], params)[1]

    kept = jax.tree.leaves(jax.eval_shape(pull, params, *rest))
    return sum(_item(x) * math.prod(x.shape) / shards for x in kept if rows in x.shape[:2])


def split(kinds: Mapping[str, Any], stats: Any, kept: float = 0.0) -> dict[str, float]:
    """Bytes on one device by kind; their sum is what the program needs.

    Args:
      kinds: the program's arguments by kind, abstract.
      stats: `memory_analysis()` of the compiled program.
      kept: see `activations`.
    """
    found = {name: bytes_of(tree) for name, tree in kinds.items()}
    # The compiler pads small arrays to whole tiles, and may drop arguments that nothing reads.
    found["padding"] = max(stats.argument_size_in_bytes - sum(found.values()), 0.0)
    found["activations"] = min(kept, stats.temp_size_in_bytes)
    found["temporaries"] = stats.temp_size_in_bytes - found["activations"]
    found["results"] = max(stats.output_size_in_bytes - stats.alias_size_in_bytes, 0)
    return found


def _item(x: Any) -> int:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return 8
    return x.dtype.itemsize


def _shard(x: Any) -> tuple[int, ...]:
    sharding = getattr(x, "sharding", None)
    return (
        sharding.shard_shape(x.shape) if sharding is not None and not jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x.shape
    )
