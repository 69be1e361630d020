"""Frozen groups: they stay as they are, the others learn as before, and nothing is computed for them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax.training.flops import forward_flops
from ugf_jax.training.frozen_groups import training_flops, without_frozen
from ugf_jax.training.optimizer import GroupSettings, OptimizerSettings, make_optimizer
from ugf_jax.training.stage import Stage
from ugf_jax.training.state import init_state, make_step

ROWS, WIDTH = 4, 8
PRODUCT = 2.0 * ROWS * WIDTH * WIDTH  # operations of one layer, forward
LAYERS = ("first", "second", "third")


def init(key, batch):
    keys = jax.random.split(key, len(LAYERS))
    return {name: {"kernel": jax.random.normal(k, (WIDTH, WIDTH))} for name, k in zip(LAYERS, keys, strict=True)}, {}


def loss(params, state, batch, key, step):
    x = batch["x"]
    for name in LAYERS:
        x = jnp.tanh(x @ params[name]["kernel"])
    return jnp.mean((x - batch["y"]) ** 2), (state, {})


def terms(params, state, batch, key):
    return {"of_second": jnp.sum(params["second"]["kernel"] ** 2), "of_all": loss(params, state, batch, key, 0)[0]}


STAGE = Stage("toy", init, loss, None, None, None, (), terms=terms)


def frozen(*names):
    return OptimizerSettings(groups={name: GroupSettings(learning_rate_scale=0.0) for name in names})


def batch():
    x, y = jax.random.normal(jax.random.key(1), (2, ROWS, WIDTH))
    return {"x": x, "y": jnp.tanh(y)}


def arguments():
    return init(jax.random.key(0), None)[0], {}, batch(), jax.random.key(0), 0


def start(settings):
    return init_state(STAGE, make_optimizer(settings, 10), False, jax.random.key(0), batch())


def advance(stage, settings):
    return jax.jit(make_step(stage, make_optimizer(settings, 10)))


def test_what_learns_learns_the_same_and_what_is_frozen_has_no_part_in_the_norm():
    settings = frozen("second")
    before = start(settings)
    plain, _ = advance(STAGE, settings)(before, batch())
    held, metrics = advance(without_frozen(STAGE, settings), settings)(before, batch())
    jax.tree.map(np.testing.assert_array_equal, plain.params, held.params)
    np.testing.assert_array_equal(held.params["second"]["kernel"], before.params["second"]["kernel"])
    gradients = jax.grad(loss, has_aux=True)(before.params, {}, batch(), None, 0)[0]
    learning = {name: gradients[name] for name in ("first", "third")}
    assert metrics["gradient_norm"] == pytest.approx(float(optax.tree.norm(learning)), rel=1e-5)


def test_without_frozen_groups_nothing_is_wrapped():
    assert without_frozen(STAGE, OptimizerSettings()) is STAGE


def test_an_objective_that_only_frozen_parameters_feel_has_no_gradient():
    held = without_frozen(STAGE, frozen("second"))
    params, state, of, key, _ = arguments()
    gradients = jax.jacrev(held.terms)(params, state, of, key)
    assert not any(np.any(g) for g in jax.tree.leaves(gradients["of_second"]))
    assert np.any(gradients["of_all"]["first"]["kernel"])


SPARED = [((), 0), (("second",), 1), (("third",), 1), (("second", "third"), 2), (("first", "second"), 4)]


@pytest.mark.parametrize(("names", "spared"), SPARED)
def test_operations_leave_out_products_for_frozen_weights(names, spared):
    """With the first two frozen the third passes nothing on, nor does the second."""
    assert forward_flops(loss, *arguments()) == 3 * PRODUCT
    assert training_flops(STAGE, frozen(*names), *arguments()) == (9 - spared) * PRODUCT
