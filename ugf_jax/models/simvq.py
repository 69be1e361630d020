"""SimVQ (Zhu et al. 2024): a frozen random codebook behind a learned linear map, so that every code moves with every step."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ugf_jax.models.vq import mean_square, nearest


class SimVQ(nn.Module):
    """Each input goes to its nearest row of `embedding @ kernel`; only `kernel` is learned.

    Attributes:
      size: number of codes.
      features: of one code.
      commitment: weight of the loss that pulls the input to its code; the one that pulls codes to inputs has weight 1.
    """

    size: int
    features: int
    commitment: float = 0.25

    def setup(self) -> None:
        def initial() -> jax.Array:
            return jax.random.normal(self.make_rng("params"), (self.size, self.features), jnp.float32)

        self.embedding = self.variable("codebook", "embedding", initial)
        init = nn.initializers.orthogonal()
        self.kernel = self.param("kernel", init, (self.features, self.features), jnp.float32)

    def __call__(
        self, x: jax.Array, weights: jax.Array | None = None, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Quantizes `[..., features]`; arguments and results as `VQ`, and the key is not used."""
        codes = self._codes()
        index = nearest(jax.lax.stop_gradient(x), jax.lax.stop_gradient(codes))
        code = codes[index]
        still = jax.lax.stop_gradient
        loss = mean_square(still(x) - code, weights) + self.commitment * mean_square(x - still(code), weights)
        return still(code) + (x - still(x)), index, loss

    def lookup(self, index: jax.Array) -> jax.Array:
        """Values `[..., features]` of codes `[...]`."""
        return self._codes()[index]

    def _codes(self) -> jax.Array:
        return jnp.matmul(self.embedding.value, self.kernel, precision=jax.lax.Precision.HIGHEST)
