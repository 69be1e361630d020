"""Vector quantization with a codebook that follows its inputs by moving averages (van den Oord et al. 2017, appendix A)."""

import flax.linen as nn
import jax
import jax.numpy as jnp


def nearest(x: jax.Array, embedding: jax.Array) -> jax.Array:
    """Number int32 `[...]` of the row of `embedding` `[size, features]` nearest to each `x` `[..., features]`."""
    scores = jnp.matmul(x, embedding.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.argmin(jnp.sum(embedding**2, axis=-1) - 2 * scores, axis=-1).astype(jnp.int32)


def mean_square(difference: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Mean square of `[..., features]` over what has weight; `weights` is `[...]`, None counts all alike."""
    square = jnp.mean(difference**2, axis=-1)
    if weights is None:
        return jnp.mean(square)
    return jnp.sum(square * weights) / jnp.maximum(jnp.sum(weights), 1)


class VQ(nn.Module):
    """Each input goes to its nearest code; each code moves to the mean of its inputs.

    The state is in collection `codebook`: `embedding` `[size, features]`, and moving averages of how many inputs each code had
    (`count`) and of their sum (`total`). It starts with no input at all, so that the first training batch places every code
    on one of its inputs.

    Attributes:
      size: number of codes.
      features: of one code.
      commitment: weight of the loss that pulls the input to its code.
      decay: of the moving averages.
      restart: a code whose count falls below this part of the mean count is moved onto an input of the batch; 0 for never.
    """

    size: int
    features: int
    commitment: float = 0.25
    decay: float = 0.99
    restart: float = 0.1

    def setup(self) -> None:
        def initial() -> jax.Array:
            return jax.random.normal(self.make_rng("params"), (self.size, self.features), jnp.float32)

        self.embedding = self.variable("codebook", "embedding", initial)
        self.count = self.variable("codebook", "count", jnp.zeros, (self.size,), jnp.float32)
        self.total = self.variable("codebook", "total", jnp.zeros, (self.size, self.features), jnp.float32)

    def __call__(
        self, x: jax.Array, weights: jax.Array | None = None, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Quantizes; the gradient passes unchanged.

        Args:
          x: float32 `[..., features]`.
          weights: `[...]`, 0 for inputs that do not count; None for all alike.
          key: in training only, when the codebook moves (if its collection is mutable).

        Returns:
          values `[..., features]`, index int32 `[...]`, commitment loss (scalar).
        """
        index = nearest(jax.lax.stop_gradient(x), self.embedding.value)
        code = self.lookup(index)
        loss = self.commitment * mean_square(x - code, weights)
        if key is not None and self.is_mutable_collection("codebook") and not self.is_initializing():
            ones = jnp.ones(index.shape, jnp.float32) if weights is None else weights.astype(jnp.float32)
            flat = jax.lax.stop_gradient(x).reshape(-1, self.features)
            self._move(flat, index.reshape(-1), ones.reshape(-1), key)
        return code + (x - jax.lax.stop_gradient(x)), index, loss

    def lookup(self, index: jax.Array) -> jax.Array:
        """Values `[..., features]` of codes `[...]`."""
        return self.embedding.value[index]

    def _move(self, x: jax.Array, index: jax.Array, weights: jax.Array, key: jax.Array) -> None:
        """One step of the moving averages, then unused codes onto inputs `x` `[inputs, features]` that have weight."""

        def average(old: jax.Array, new: jax.Array) -> jax.Array:
            return self.decay * old + (1 - self.decay) * new

        count = average(self.count.value, jax.ops.segment_sum(weights, index, self.size))
        total = average(self.total.value, jax.ops.segment_sum(x * weights[:, None], index, self.size))
        used = count > 0
        embedding = jnp.where(used[:, None], total / jnp.where(used, count, 1)[:, None], self.embedding.value)

        mean = jnp.mean(count)
        unused = (count <= self.restart * mean) & (mean > 0) if self.restart else jnp.zeros_like(used)
        edges = jnp.cumsum(weights)
        draw = jax.random.uniform(key, (self.size,)) * edges[-1]
        chosen = x[jnp.minimum(jnp.searchsorted(edges, draw, side="right"), len(x) - 1)]
        self.embedding.value = jnp.where(unused[:, None], chosen, embedding)
        self.count.value = jnp.where(unused, mean, count)
        self.total.value = jnp.where(unused[:, None], chosen * mean, total)
