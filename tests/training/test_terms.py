"""Objectives that are not really there are found before the first step."""

import types

import flax.struct
import jax
import jax.numpy as jnp
import pytest

from ugf_jax.errors import InputError
from ugf_jax.training.terms import check_terms


def stage(**terms):
    return types.SimpleNamespace(terms=lambda params, state, batch, key: {n: f(params, batch) for n, f in terms.items()})


@flax.struct.dataclass
class State:
    params: dict
    model_state: dict
    key: jax.Array


STATE = State(params={"w": jnp.array([1.0, 2.0])}, model_state={}, key=jax.random.key(0))


def square(params, batch):
    return jnp.sum(params["w"] ** 2) * batch["x"]


def batches(*values):
    return [{"x": jnp.float32(v)} for v in values]


def test_value_and_gradient_norm_of_each_objective_are_told():
    found = check_terms(stage(a=square, b=lambda p, b: p["w"][0] * 3), STATE, batches(1.0))
    assert found["a"] == pytest.approx((5.0, 20**0.5))
    assert found["b"] == pytest.approx((3.0, 3.0))


def test_a_rare_objective_may_be_missing_from_the_first_batch():
    assert check_terms(stage(a=square), STATE, batches(0.0, 0.0, 2.0))["a"][0] == pytest.approx(10.0)
    with pytest.raises(InputError, match=r"objective 'a' is 0 .* first 2 batches.*config\.objective\.a"):
        check_terms(stage(a=square), STATE, batches(0.0, 0.0))


def test_an_objective_that_no_parameter_feels_is_named():
    with pytest.raises(InputError, match="objective 'stuck' is 1 with a gradient of norm 0"):
        check_terms(stage(fine=square, stuck=lambda p, b: jax.lax.stop_gradient(p["w"][0])), STATE, batches(1.0))


def test_an_objective_that_is_not_finite_is_named():
    with pytest.raises(InputError, match="objective 'a' is nan"):
        check_terms(stage(a=square), STATE, batches(float("nan")))


def test_stages_without_terms_are_not_checked():
    assert check_terms(types.SimpleNamespace(terms=None), STATE, []) == {}
