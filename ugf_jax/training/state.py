"""Training state and the one function that advances it."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from ugf_jax.training.stage import Batch, ModelState, Params, Stage

Metrics = dict[str, jax.Array]


class TrainState(flax.struct.PyTreeNode):
    """Everything that a step changes, and nothing else.

    Attributes:
      step: int32, steps taken.
      key: PRNG key of the run; each step folds its number in, so that a resumed run draws the same numbers.
      params, model_state, opt_state: see `Stage`.
      ema: exponential moving average of `params`, or `{}`.
      bad_steps: int32, updates skipped in a row because the loss or a gradient was not finite.
      skipped: int32, updates skipped since the start.
    """

    step: jax.Array
    key: jax.Array
    params: Params
    model_state: ModelState
    opt_state: optax.OptState
    ema: Params
    bad_steps: jax.Array
    skipped: jax.Array


def init_state(
    stage: Stage, optimizer: optax.GradientTransformation, with_ema: bool, key: jax.Array, batch: Batch
) -> TrainState:
    """The state before the first step; meant to be traced by `jax.jit` with output shardings."""
    init_key, run_key = jax.random.split(key)
    params, model_state = stage.init(init_key, batch)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=run_key,
        params=params,
        model_state=model_state,
        opt_state=optimizer.init(params),
        ema=jax.tree.map(jnp.copy, params) if with_ema else {},
        bad_steps=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
    )


def make_step(
    stage: Stage, optimizer: optax.GradientTransformation, accumulate: int = 1, ema_decay: float = 0.0
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Builds `(state, global batch) → (state, metrics)`.

    A step whose loss or gradient is not finite changes nothing but the counters: a poisoned state never exists, so it can
    never be saved.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        loss, model_state, metrics, grads = _gradients(stage, state, batch, key, accumulate)
        norm = optax.tree.norm(grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        advanced = state.replace(
            params=params, model_state=model_state, opt_state=opt_state, ema=_average(state, params, ema_decay)
        )
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), _saved(advanced), _saved(state))
        state = state.replace(
            **kept,
            step=state.step + 1,
            bad_steps=jnp.where(finite, 0, state.bad_steps + 1),
            skipped=state.skipped + jnp.where(finite, 0, 1),
        )
        return state, metrics | {"loss": loss, "gradient_norm": norm, "bad_steps": state.bad_steps, "skipped": state.skipped}

    return step


def _saved(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "model_state": state.model_state, "opt_state": state.opt_state, "ema": state.ema}


def _average(state: TrainState, params: Params, decay: float) -> Params:
    if not decay:
        return state.ema
    # The average forgets the random start quickly: decay is small in the first steps (as in TensorFlow's EMA).
    step = state.step.astype(jnp.float32)
    now = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, p: now * a + (1 - now) * p, state.ema, params)


def _gradients(
    stage: Stage, state: TrainState, batch: Batch, key: jax.Array, accumulate: int
) -> tuple[jax.Array, ModelState, Metrics, Params]:
    value_and_grad = jax.value_and_grad(stage.loss, has_aux=True)
    if accumulate == 1:
        (loss, (model_state, metrics)), grads = value_and_grad(state.params, state.model_state, batch, key, state.step)
        return loss, model_state, metrics, grads

    # Every k-th row goes to one microbatch, so that each is spread over all devices like the whole.
    micro = jax.tree.map(lambda x: x.reshape(x.shape[0] // accumulate, accumulate, *x.shape[1:]).swapaxes(0, 1), batch)

    def one(carry: tuple[ModelState, Params], item: tuple[Batch, jax.Array]) -> tuple[tuple[ModelState, Params], Any]:
        model_state, total = carry
        part, index = item
        part_key = jax.random.fold_in(key, index)
        (loss, (model_state, metrics)), grads = value_and_grad(state.params, model_state, part, part_key, state.step)
        return (model_state, jax.tree.map(jnp.add, total, grads)), (loss, metrics)

    zeros = jax.tree.map(jnp.zeros_like, state.params)
    (model_state, total), (losses, metrics) = jax.lax.scan(one, (state.model_state, zeros), (micro, jnp.arange(accumulate)))
    grads = jax.tree.map(lambda g: g / accumulate, total)
    metrics = {k: (v.sum(0) if k.startswith("counts/") else v.mean(0)) for k, v in metrics.items()}
    return losses.mean(), model_state, metrics, grads
