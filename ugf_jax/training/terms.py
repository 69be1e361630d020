"""The check before the first step that every objective is really there: finite, not zero, and felt by some parameter.

An objective that is silently zero (no such documents in the data, a mask that hides everything) does not crash: the model just
never learns it.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.errors import InputError
from ugf_jax.training.stage import Batch, Stage
from ugf_jax.training.state import TrainState


def check_terms(stage: Stage, state: TrainState, batches: list[Batch]) -> dict[str, tuple[float, float]]:
    """Looks at every objective on its own, on a few batches, until each was seen alive.

    Args:
      stage: with `terms`; one without any is not checked.
      state: before the first step.
      batches: the first of the run; a rare kind of document need not be in each.

    Returns:
      value and gradient norm of each objective, as first seen alive.

    Raises:
      InputError: an objective is not finite, or zero or without a gradient in all of the batches.
    """
    if stage.terms is None:
        return {}
    alive: dict[str, tuple[float, float]] = {}
    measure = jax.jit(lambda state, batch: _values_and_norms(stage, state, batch))
    found: dict[str, Any] = {}
    for batch in batches:
        found = jax.device_get(measure(state, batch))
        for name, (value, norm) in found.items():
            if not (np.isfinite(value) and np.isfinite(norm)):
                raise InputError(f"objective '{name}' is {value} with a gradient of norm {norm} before the first step")
            if value and norm:
                alive.setdefault(name, (float(value), float(norm)))
        if len(alive) == len(found):
            return alive
    dead = [name for name in found if name not in alive]
    value, norm = found[dead[0]]
    raise InputError(
        f"objective '{dead[0]}' is {value:.3g} with a gradient of norm {norm:.3g} in the first {len(batches)} batches: nothing "
        f"would be learned from it; give config.data what it needs, or set config.objective.{dead[0]} to 0"
    )


def _values_and_norms(stage: Stage, state: TrainState, batch: Batch) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Each objective's value and the norm of its gradient: one forward pass, one backward pass for each."""
    assert stage.terms is not None
    terms = stage.terms
    values, pull = jax.vjp(lambda params: terms(params, state.model_state, batch, state.key), state.params)
    zeros = jax.tree.map(jnp.zeros_like, values)
    found = {}
    for name, value in values.items():
        (gradient,) = pull(zeros | {name: jnp.ones_like(value)})
        squares = (jnp.sum(jnp.square(g.astype(jnp.float32))) for g in jax.tree.leaves(gradient))
        found[name] = value, jnp.sqrt(sum(squares, jnp.zeros(())))
    return found
