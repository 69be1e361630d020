"""Attention whose backward pass computes the weights again from the log-sum-exp of each row (Dao et al. 2022, section 3.1)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from ugf_jax.models.kernels.visibility import Visibility

SAVED = (
    "attention"  # `jax.checkpoint_policies.save_only_these_names(SAVED)` keeps what the backward pass needs of the forward pass
)
FLOOR = -1e30  # the running maximum of a row that has seen nothing yet: finite, so that differences are

Forward = Callable[[jax.Array, jax.Array, jax.Array, Visibility], tuple[jax.Array, jax.Array]]
Backward = Callable[..., tuple[jax.Array, jax.Array, jax.Array]]


def recomputing(forward: Forward, backward: Backward) -> Callable[[jax.Array, jax.Array, jax.Array, Visibility], jax.Array]:
    """A differentiable function of query, key, value and visibility.

    Args:
      forward: gives the output and the log-sum-exp of the logits of each row, in whatever layout `backward` wants it.
      backward: of query, key, value, visibility, output, log-sum-exp and the output's gradient; gives those of the first three.
    """

    @jax.custom_vjp
    def attention(query: jax.Array, key: jax.Array, value: jax.Array, visibility: Visibility) -> jax.Array:
        return forward(query, key, value, visibility)[0]

    def save(query: jax.Array, key: jax.Array, value: jax.Array, visibility: Visibility) -> tuple[jax.Array, tuple]:
        output, log_sum = (checkpoint_name(x, SAVED) for x in forward(query, key, value, visibility))
        return output, (query, key, value, visibility, output, log_sum)

    def pull(saved: tuple, gradient: jax.Array) -> tuple:
        return *backward(*saved, gradient), None

    attention.defvjp(save, pull)
    return attention


def finish(
    total: jax.Array, top: jax.Array, weighted: jax.Array, log: Callable[[jax.Array], jax.Array] = jnp.log
) -> tuple[jax.Array, jax.Array]:
    """Output and log-sum-exp from the sums of a row; both 0 for a row that saw nothing.

    Args:
      total: `[..., queries]`, sum of `exp(logit - top)`.
      top: `[..., queries]`, greatest logit.
      weighted: `[..., queries, features]`, sum of `exp(logit - top) * value`.
      log: to another base than e if the sums were taken of powers of that base.
    """
    seen = total > 0
    total = jnp.where(seen, total, 1)
    return weighted / total[..., None], jnp.where(seen, top + log(total), 0)
