"""The distribution that tokens are drawn from, and how they are drawn.

Guided logits are masked by the grammar, divided by the temperature, cut to the top k and then to the top p. What is returned as
the log-probability of a token is that of exactly this distribution.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.config import NOT_NEGATIVE, setting

BLOCK = 128  # ids that are added up together
TOP_P = ("greater than 0, at most 1", lambda x: 0 < x <= 1)


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """How tokens of one kind are drawn."""

    temperature: float = setting(1.0, NOT_NEGATIVE, "0 takes the likeliest")
    top_k: int = setting(0, NOT_NEGATIVE, "draw among so many; 0: among all")
    top_p: float = setting(1.0, TOP_P, "draw among the likeliest that together have this probability")


@flax.struct.dataclass
class Sampling:
    """`SamplingSettings` of each row, so that other numbers need no other program.

    Attributes:
      temperature: float32 `[rows]`.
      top_k: int32 `[rows]`.
      top_p: float32 `[rows]`.
    """

    temperature: jax.Array
    top_k: jax.Array
    top_p: jax.Array

    @classmethod
    def of(cls, settings: SamplingSettings) -> "Sampling":
        """The same for every row, `[1]` each."""
        return cls(
            jnp.array([settings.temperature], jnp.float32),
            jnp.array([settings.top_k], jnp.int32),
            jnp.array([settings.top_p], jnp.float32),
        )

    def where(self, mask: jax.Array, other: "Sampling") -> "Sampling":
        """These where `mask`, bool `[rows]`, else `other`."""
        return jax.tree.map(lambda own, others: jnp.where(mask, own, others), self, other)


def shape_logits(logits: jax.Array, allowed: jax.Array, sampling: Sampling, cut: bool = True) -> jax.Array:
    """The logits that are sampled: softmax of these is the distribution.

    Args:
      logits: float32 `[rows, ids]`, guided.
      allowed: bool `[rows, ids]`, at least one of each row.
      sampling: of each row; a temperature of 0 counts as 1 here, see `draw`.
      cut: False promises that there is no top k and no top p.

    Returns:
      float32 `[rows, ids]`, -inf where a token cannot be drawn.
    """
    temperature = jnp.where(sampling.temperature > 0, sampling.temperature, 1)
    logits = jnp.where(allowed, logits, -jnp.inf) / temperature[:, None]
    if not cut:
        return logits
    count = jnp.where(sampling.top_k > 0, sampling.top_k, jnp.inf)
    logits = _keep_top(logits, jnp.ones_like(logits), count)
    return _keep_top(logits, jax.nn.softmax(logits, axis=-1), jnp.where(sampling.top_p < 1, sampling.top_p, jnp.inf))


def draw(keys: jax.Array, logits: jax.Array, temperature: jax.Array, certain: bool = False) -> tuple[jax.Array, jax.Array]:
    """One token a row, where the cumulative distribution passes a uniform number.

    One number a row is drawn, not one for each id (Gumbel-max): of ten thousand ids that took six times as long.

    Args:
      keys: random keys `[rows]`; what is drawn in a row depends on no other row.
      logits: from `shape_logits`.
      temperature: float32 `[rows]`; at 0 the likeliest token is taken, the first of several.
      certain: promises that all temperatures are 0.

    Returns:
      index int32 `[rows]` into the ids, and its log-probability float32 `[rows]`: 0 at temperature 0, where it is certain.
    """
    if certain:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32), jnp.zeros(logits.shape[0])
    highest = jnp.max(logits, axis=-1)
    weights = jnp.exp(logits - highest[:, None])
    blocks = jnp.pad(weights, ((0, 0), (0, -weights.shape[1] % BLOCK))).reshape(len(weights), -1, BLOCK)
    # First the block, then the id in it: a running sum of all ids would be read and written many times.
    sums = jnp.sum(blocks, axis=-1)
    after = jnp.cumsum(sums, axis=-1)
    total = after[:, -1]
    left = total * jax.vmap(jax.random.uniform)(keys)
    block = _passed(sums, after, left)
    within = jnp.take_along_axis(blocks, block[:, None, None], axis=1)[:, 0]
    found = block * BLOCK + _passed(within, jnp.cumsum(within, axis=-1), left - _at(after, block) + _at(sums, block))
    drawn = jnp.where(temperature > 0, found, jnp.argmax(logits, axis=-1)).astype(jnp.int32)
    return drawn, jnp.where(temperature > 0, _at(logits, drawn) - highest - jnp.log(total), 0)


def _passed(weights: jax.Array, after: jax.Array, bounds: jax.Array) -> jax.Array:
    """Index `[rows]` of the first of `weights` `[rows, n]` whose running sum `after` passes its bound.

    Rounding must not lead to one that has no weight: such a token is forbidden. Where none passes, it is the heaviest.
    """
    passes = (after > bounds[:, None]) & (weights > 0)
    return jnp.where(jnp.any(passes, axis=-1), jnp.argmax(passes, axis=-1), jnp.argmax(weights, axis=-1))


def _at(values: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take_along_axis(values, index[:, None], axis=-1)[:, 0]


def log_probability(logits: jax.Array, index: jax.Array) -> jax.Array:
    """float32 `[...]` of `index` `[...]` under `logits` `[..., ids]`."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), index[..., None], axis=-1)[..., 0]


def _keep_top(logits: jax.Array, weights: jax.Array, need: jax.Array) -> jax.Array:
    """Keeps the fewest highest logits whose weights add up to `need` `[rows]`, and all that equal the lowest of them.

    All are kept where no weights are enough.

    The lowest that is kept is found bit by bit, in 32 sums: of a large vocabulary that is much quicker than sorting.
    """
    bits = jax.lax.bitcast_convert_type(logits, jnp.uint32)
    sign = jnp.uint32(1 << 31)
    order = jnp.where(bits & sign, ~bits, bits | sign)  # unsigned integers in the order of the floats

    def add_bit(number: jax.Array, lowest: jax.Array) -> jax.Array:
        higher = lowest | (sign >> number.astype(jnp.uint32))
        total = jnp.sum(jnp.where(order >= higher[:, None], weights, 0), axis=-1)
        return jnp.where(total >= need, higher, lowest)

    lowest = jax.lax.fori_loop(0, 32, add_bit, jnp.zeros(logits.shape[0], jnp.uint32))
    return jnp.where(order >= lowest[:, None], logits, -jnp.inf)
