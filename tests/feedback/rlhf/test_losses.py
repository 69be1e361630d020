"""Advantages and losses of a step, on distributions that are given as they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.feedback.rlhf.critic import init_critic
from ugf_jax.feedback.rlhf.distribution import Answers, Choices
from ugf_jax.feedback.rlhf.losses import Measured, divergence, experience, measure, policy_objective
from ugf_jax.feedback.rlhf.settings import (
    DivergenceSettings,
    GRPOSettings,
    PPOSettings,
    SamplerSettings,
    Settings,
    UpdateSettings,
)
from ugf_jax.models.fusion import Tokens

RNG = np.random.default_rng(0)
ROWS, CELLS, CODES = 6, 4, 5
LOGITS, OTHER = (jnp.asarray(RNG.normal(size=(ROWS, CELLS, CODES)), jnp.float32) for _ in range(2))
HIDDEN = jnp.asarray(RNG.normal(size=(ROWS, CELLS, 8)), jnp.float32)
NONE = jnp.zeros((ROWS, 1), jnp.int32)
ANSWERS = Answers(
    Tokens(NONE, NONE, NONE, NONE), jnp.zeros((ROWS, 2), jnp.int32), jnp.asarray(RNG.integers(0, CODES, (ROWS, CELLS)))
)


def given(logits, answers):
    """Stands for a distribution: the parameters are the logits."""
    return Choices(logits, HIDDEN)


def softmax(x):
    x = np.exp(np.asarray(x, np.float64))
    return x / x.sum(axis=-1, keepdims=True)


def chosen(p):
    return np.take_along_axis(p, np.asarray(ANSWERS.codes)[..., None], axis=-1)[..., 0]


def test_divergence_is_exact_also_where_codes_are_impossible():
    possible = RNG.random((ROWS, CELLS, CODES)) < 0.8
    possible[..., 0] = True
    ours, theirs = (jnp.where(possible, x, -jnp.inf) for x in (LOGITS, OTHER))
    apart, entropy = divergence(given, ours, theirs, ANSWERS)
    p, q = (np.where(possible, softmax(x), 1e-300) for x in (ours, theirs))
    np.testing.assert_allclose(apart, np.sum(p * np.log(p / q), axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(entropy, -np.sum(p * np.log(p), axis=2).mean(axis=1), rtol=1e-4)
    assert not divergence(given, ours, ours, ANSWERS)[0].any()


def policy_and_reference():
    critic = init_critic(jax.random.key(0), 8, 3) | {"second": jnp.ones(3)}
    return measure(given, LOGITS, critic, ANSWERS), measure(given, OTHER, None, ANSWERS)


def test_ppo_pays_at_the_last_code_and_for_divergence_on_the_way():
    policy, reference = policy_and_reference()
    np.testing.assert_allclose(policy.log_probabilities, np.log(chosen(softmax(LOGITS))), rtol=1e-4)
    assert policy.values.any()
    assert not reference.values.any()
    scores = jnp.asarray(RNG.normal(size=ROWS), jnp.float32)
    settings = Settings(divergence=DivergenceSettings(0.1, "reward", "k1"), ppo=PPOSettings(decay=1.0))
    found = experience(settings, ANSWERS, policy.log_probabilities, policy, reference, scores, jnp.float32(0.1))
    costs = 0.1 * np.asarray(policy.log_probabilities - reference.log_probabilities)
    left = np.asarray(scores)[:, None] - np.cumsum(costs[:, ::-1], axis=1)[:, ::-1]  # undiscounted: all that is still to come
    np.testing.assert_allclose(found.returns, left, rtol=1e-4, atol=1e-5)
    assert float(found.advantages.mean()) == pytest.approx(0, abs=1e-5)
    assert float(found.advantages.std()) == pytest.approx(1, abs=1e-3)
    free = dataclasses.replace(settings, divergence=DivergenceSettings(0.1, "loss", "k3"))
    found = experience(free, ANSWERS, policy.log_probabilities, policy, reference, scores, jnp.float32(0.1))
    np.testing.assert_allclose(found.returns, np.broadcast_to(scores[:, None], (ROWS, CELLS)), rtol=1e-4)


def test_centred_scores_of_ppo_count_from_the_mean_of_their_prompt():
    policy, reference = policy_and_reference()
    settings = Settings(sampler=SamplerSettings(samples=3), ppo=PPOSettings(decay=1.0, centred=True))
    scores = jnp.asarray([1.0, 2.0, 6.0, 5.0, 5.0, 5.0])
    found = experience(settings, ANSWERS, policy.log_probabilities, policy, reference, scores, jnp.float32(0.0))
    np.testing.assert_allclose(found.returns[:, 0], [-2, -1, 3, 0, 0, 0], atol=1e-6)


def test_grpo_compares_within_groups_and_drops_those_without_a_difference():
    policy, reference = policy_and_reference()
    settings = Settings(algorithm="grpo", sampler=SamplerSettings(samples=3), grpo=GRPOSettings(floor=0.01))
    scores = jnp.asarray([1.0, 2.0, 3.0, 5.0, 5.0, 5.0])
    found = experience(settings, ANSWERS, policy.log_probabilities, policy, reference, scores, jnp.float32(0.1))
    deviation = np.sqrt(2 / 3)
    np.testing.assert_allclose(found.advantages[:, 0], [-1 / deviation, 0, 1 / deviation, 0, 0, 0], rtol=1e-5)
    np.testing.assert_array_equal(found.mask, np.repeat([[1.0], [0.0]], 3, axis=0) * np.ones(CELLS))
    costly = dataclasses.replace(settings, divergence=DivergenceSettings(0.1, "reward", "k1"))
    dear = experience(costly, ANSWERS, policy.log_probabilities, policy, reference, scores, jnp.float32(0.1))
    assert dear.mask.all()  # pictures that are as good differ in how far from the reference they are


def test_the_loss_is_what_it_says_and_its_gradient_lifts_what_was_better():
    policy, reference = policy_and_reference()
    settings = Settings(
        algorithm="grpo",
        sampler=SamplerSettings(samples=3),
        divergence=DivergenceSettings(0.3, "loss", "k3"),
        updates=UpdateSettings(entropy=0.2),
    )
    scores = jnp.asarray([1.0, 2.0, 3.0, 9.0, 5.0, 5.0])
    batch = experience(settings, ANSWERS, policy.log_probabilities, policy, reference, scores, jnp.float32(0.3))

    def loss(logits, settings=settings):
        return policy_objective(settings, given, logits, None, jnp.float32(0.3), batch)

    total, metrics = loss(LOGITS)
    p, q = softmax(LOGITS), softmax(OTHER)
    ratio = chosen(q) / chosen(p)
    entropy = -np.sum(p * np.log(p), axis=-1).mean()
    expected = -np.asarray(batch.advantages).mean() + 0.3 * np.mean(ratio - 1 - np.log(ratio)) - 0.2 * entropy
    assert float(total) == pytest.approx(expected, rel=1e-3)
    assert float(metrics["ratio/furthest"]) == float(metrics["ratio/off"]) == float(metrics["clipped/policy"]) == 0
    plain = Settings(algorithm="grpo", divergence=DivergenceSettings(0.0, "reward"), sampler=SamplerSettings(samples=3))
    gradient = jax.grad(lambda logits: loss(logits, plain)[0])(LOGITS)
    onehot = np.eye(CODES)[np.asarray(ANSWERS.codes)]
    np.testing.assert_allclose(gradient, -np.asarray(batch.advantages)[..., None] * (onehot - p) / (ROWS * CELLS), atol=1e-6)
    away = loss(LOGITS + 3 * jnp.asarray(onehot, jnp.float32), plain)[1]
    assert float(away["clipped/policy"]) > 0.2
    assert float(away["ratio/off"]) > 0.9


def test_values_are_learnt_beside_the_policy():
    policy, reference = policy_and_reference()
    settings, critic = Settings(), init_critic(jax.random.key(0), 8, 3) | {"second": jnp.ones(3)}
    scores = jnp.asarray(RNG.normal(size=ROWS), jnp.float32)
    batch = experience(settings, ANSWERS, policy.log_probabilities, policy, reference, scores, jnp.float32(0.0))
    total, metrics = policy_objective(settings, given, LOGITS, critic, jnp.float32(0.0), batch)
    errors = np.square(np.asarray(policy.values) - np.asarray(batch.returns))
    assert float(metrics["loss/value"]) == pytest.approx(errors.mean() / 2, rel=1e-4)
    assert float(total) == pytest.approx(float(metrics["loss/policy"] + metrics["loss/value"]), rel=1e-5)
    assert isinstance(policy, Measured)
