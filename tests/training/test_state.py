import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax.training.stage import Stage
from ugf_jax.training.state import init_state, make_step

TARGET = jnp.array([1.0, -2.0, 3.0])


def toy_stage():
    """Least squares whose model state counts the rows seen; `batch["poison"]` makes the loss infinite."""

    def init(key, batch):
        return {"w": jax.random.normal(key, (3,))}, {"rows": jnp.zeros(())}

    def loss(params, state, batch, key, step):
        noise = 0.0 * jax.random.normal(key)
        error = batch["x"] @ params["w"] - batch["x"] @ TARGET
        value = jnp.mean(error**2) + noise + jnp.sum(batch["poison"]) * jnp.sum(params["w"])
        state = {"rows": state["rows"] + batch["x"].shape[0]}
        return value, (state, {"counts/rows": jnp.array(batch["x"].shape[0]), "error": jnp.mean(jnp.abs(error))})

    return Stage("toy", init, loss, lambda m: ({}, {}), lambda p, s, b: {}, None, ())


def batch(seed=0, poison=0.0):
    return {"x": jax.random.normal(jax.random.key(seed), (8, 3)), "poison": jnp.full(8, poison)}


def start(ema=False, optimizer=None):
    return init_state(toy_stage(), optimizer or optax.adam(0.1), ema, jax.random.key(0), batch())


def stepper(**how):
    return jax.jit(make_step(toy_stage(), optax.adam(0.1), **how))


def test_it_learns():
    state, step = start(), stepper()
    for i in range(200):
        state, metrics = step(state, batch(i))
    assert metrics["loss"] < 1e-3
    assert int(state.step) == 200


def test_microbatches_add_up_to_the_whole_batch():
    whole, _ = stepper()(start(), batch())
    parts, metrics = stepper(accumulate=4)(start(), batch())
    np.testing.assert_allclose(whole.params["w"], parts.params["w"], rtol=1e-5)
    assert metrics["counts/rows"] == 8
    assert parts.model_state["rows"] == 8


@pytest.mark.parametrize("poison", [jnp.nan, jnp.inf])
def test_a_step_that_is_not_finite_changes_only_the_counters(poison):
    state, step = start(ema=True), stepper(ema_decay=0.9)
    state, _ = step(state, batch(1))
    after, metrics = step(state, batch(2, poison))
    for name in ("params", "model_state", "opt_state", "ema"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(state, name))
    assert (int(after.step), int(after.skipped), int(metrics["bad_steps"])) == (2, 1, 1)
    good, metrics = step(after, batch(3))
    assert (int(good.skipped), int(metrics["bad_steps"])) == (1, 0)


def test_average_follows_the_parameters():
    state, step = start(ema=True), stepper(ema_decay=0.5)
    expected = state.ema["w"]
    for i in range(5):
        state, _ = step(state, batch(i))
        decay = min(0.5, (1 + i) / (10 + i))
        expected = decay * expected + (1 - decay) * state.params["w"]
    np.testing.assert_allclose(state.ema["w"], expected, rtol=1e-6)


def test_each_step_draws_its_own_numbers():
    keys = []
    stage = toy_stage()

    def loss(params, state, b, key, step):
        return jnp.sum(params["w"] ** 2), (state, {"draw": jax.random.uniform(key)})

    step = jax.jit(make_step(Stage("toy", stage.init, loss, *[None] * 4), optax.sgd(0.1)))
    state = start(optimizer=optax.sgd(0.1))
    for _ in range(3):
        state, metrics = step(state, batch())
        keys.append(float(metrics["draw"]))
    assert len(set(keys)) == 3
