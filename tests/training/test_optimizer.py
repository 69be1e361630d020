import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax.errors import InputError
from ugf_jax.training.optimizer import (
    MUON_RMS,
    GroupSettings,
    OptimizerSettings,
    group_labels,
    make_optimizer,
    make_schedule,
)


@pytest.mark.parametrize(("name", "middle"), [("cosine", 0.55), ("linear", 0.55), ("constant", 1.0)])
def test_schedules_warm_up_and_decay(name, middle):
    schedule = make_schedule(OptimizerSettings(learning_rate=1.0, schedule=name, warmup_steps=10), 110)
    assert float(schedule(0)) == pytest.approx(0.1)  # a tenth of the way up, not 0
    assert schedule(10) == pytest.approx(1.0)
    assert schedule(60) == pytest.approx(middle, abs=1e-6)
    assert schedule(110) == pytest.approx(1.0 if name == "constant" else 0.1, abs=1e-6)


def test_warm_up_never_takes_more_than_half_of_a_short_run():
    schedule = make_schedule(OptimizerSettings(learning_rate=1.0, warmup_steps=100), 20)
    assert schedule(10) == pytest.approx(1.0)


def step(settings, params, grads):
    optimizer = make_optimizer(settings, steps=100)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return optax.apply_updates(params, updates)


def test_groups_may_be_clipped_together():
    """Of all that is trained, and without what is frozen: gradients of 3 and 4 have norm 5, whatever the frozen one's is."""
    params = {name: {"kernel": jnp.zeros(1)} for name in ("a", "b", "frozen")}
    grads = {"a": {"kernel": jnp.array([3.0])}, "b": {"kernel": jnp.array([4.0])}, "frozen": {"kernel": jnp.array([1e6])}}
    groups = {"^b": GroupSettings(), "^frozen": GroupSettings(learning_rate_scale=0.0)}
    settings = OptimizerSettings(groups=groups, clip_norm=1.0, eps=1.0, weight_decay=0.0, warmup_steps=0, schedule="constant")
    rate = settings.learning_rate

    def moved(**changes):
        after = step(dataclasses.replace(settings, **changes), params, grads)
        return {name: float(-after[name]["kernel"][0] / rate) for name in params}

    # A first AdamW step is g / (|g| + eps).
    assert moved(clip_together=True) == pytest.approx({"a": 0.6 / 1.6, "b": 0.8 / 1.8, "frozen": 0.0}, rel=1e-4)
    assert moved() == pytest.approx({"a": 0.5, "b": 0.5, "frozen": 0.0}, rel=1e-4)


def test_everything_may_be_decayed():
    params = {"norm": {"scale": jnp.ones(1)}, "mlp": {"kernel": jnp.ones(1)}}
    zeros = jax.tree.map(jnp.zeros_like, params)
    settings = OptimizerSettings(learning_rate=0.1, weight_decay=0.5, warmup_steps=0, schedule="constant")
    for every, norm in ((False, 1.0), (True, 0.95)):
        after = step(dataclasses.replace(settings, decay_all=every), params, zeros)
        assert float(after["norm"]["scale"][0]) == pytest.approx(norm)
        assert float(after["mlp"]["kernel"][0]) == pytest.approx(0.95)


def params_and_grads():
    params = {"tower": {"kernel": jnp.ones((4, 4)), "bias": jnp.ones(4)}, "head": {"kernel": jnp.ones((4, 4))}}
    return params, jax.tree.map(lambda p: jnp.full_like(p, 0.01), params)


def test_first_update_equals_adamw():
    params, grads = params_and_grads()
    settings = OptimizerSettings(learning_rate=0.1, warmup_steps=0, weight_decay=0.5, clip_norm=0)
    new = step(settings, params, grads)
    # The first Adam direction is sign(gradient); decay pulls on matrices only.
    np.testing.assert_allclose(new["head"]["kernel"], 1 - 0.1 * (1 + 0.5), rtol=1e-5)
    np.testing.assert_allclose(new["tower"]["bias"], 1 - 0.1, rtol=1e-5)


def test_a_group_has_its_own_learning_rate_or_none():
    params, grads = params_and_grads()
    groups = {"tower": GroupSettings(learning_rate_scale=0.0), "head": GroupSettings(learning_rate_scale=0.5)}
    settings = OptimizerSettings(learning_rate=0.1, warmup_steps=0, weight_decay=0.0, groups=groups)
    new = step(settings, params, grads)
    np.testing.assert_array_equal(new["tower"]["kernel"], params["tower"]["kernel"])
    np.testing.assert_allclose(new["head"]["kernel"], 1 - 0.05, rtol=1e-5)


def test_gradients_are_clipped_within_their_group():
    params, grads = params_and_grads()
    wild = {"tower": jax.tree.map(lambda g: g * 1e6, grads["tower"]), "head": grads["head"]}
    settings = OptimizerSettings(learning_rate=0.1, warmup_steps=0, eps=1.0, groups={"head": GroupSettings()})
    calm = step(settings, params, grads)["head"]["kernel"]
    np.testing.assert_allclose(step(settings, params, wild)["head"]["kernel"], calm, rtol=1e-6)


def test_the_first_matching_group_counts():
    params, _ = params_and_grads()
    labels = group_labels(params, ["bias", "tower"])
    assert labels == {"tower": {"kernel": "tower", "bias": "bias"}, "head": {"kernel": ""}}


def test_a_pattern_that_is_no_regular_expression_is_refused():
    with pytest.raises(InputError, match=r"groups: '\(' is not a regular expression"):
        OptimizerSettings(groups={"(": GroupSettings()}).validate("config.optimizer")


def test_muon_moves_matrices_of_blocks_by_orthogonal_steps_and_all_else_like_adamw():
    keys = jax.random.split(jax.random.key(0), 2)
    params = {"block": {"kernel": jnp.zeros((2, 6, 4)), "bias": jnp.zeros(4)}, "head": {"kernel": jnp.zeros((6, 4))}}
    grads = {
        "block": {"kernel": jax.random.normal(keys[0], (2, 6, 4)), "bias": jnp.ones(4)},
        "head": {"kernel": jax.random.normal(keys[1], (6, 4))},
    }
    plain = OptimizerSettings(learning_rate=0.1, warmup_steps=0, weight_decay=0.0, clip_norm=0)
    adamw, muon = (step(dataclasses.replace(plain, kind=kind), params, grads) for kind in ("adamw", "muon"))
    singular = np.linalg.svd(np.asarray(muon["block"]["kernel"]), compute_uv=False)
    assert singular.max() / singular.min() < 2  # those of a random matrix differ more: Newton-Schulz makes them nearly equal
    assert np.linalg.svd(np.asarray(adamw["block"]["kernel"]), compute_uv=False).max() / singular.max() > 1.5
    assert float(jnp.sqrt(jnp.mean(muon["block"]["kernel"] ** 2))) == pytest.approx(0.1 * MUON_RMS, rel=0.3)
    assert float(jnp.vdot(muon["block"]["kernel"], grads["block"]["kernel"])) < 0
    for part, name in (("block", "bias"), ("head", "kernel")):  # the same direction; Nesterov's momentum starts faster
        ratio = np.asarray(muon[part][name] / adamw[part][name])
        np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-4)
        assert ratio.flat[0] >= 1
