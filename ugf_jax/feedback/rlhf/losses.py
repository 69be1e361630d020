"""What a step learns from: the pictures with their advantages, and the loss of a minibatch of them (PPO and GRPO)."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ugf_jax.feedback.rlhf.critic import values_of
from ugf_jax.feedback.rlhf.distribution import Answers, Distribution
from ugf_jax.feedback.rlhf.settings import Settings
from ugf_jax.objectives import policy as objectives
from ugf_jax.objectives.language import mean


@flax.struct.dataclass
class Measured:
    """Answers under some parameters, float32 `[rows, cells]` each.

    Attributes:
      log_probabilities: of the codes that were drawn.
      entropy: of the distribution of each code, in nats.
      values: predicted before each code is chosen; 0 without a critic.
    """

    log_probabilities: jax.Array
    entropy: jax.Array
    values: jax.Array


@flax.struct.dataclass
class Experience:
    """All that updates read of a step's pictures; arrays are `[rows, cells]`, constants to every gradient.

    Attributes:
      answers: prompts and codes.
      log_behaviour: log-probabilities of the codes when they were drawn.
      log_reference: under the model that the policy started from.
      advantages: of each code.
      returns: what values are to predict.
      values: what they were when the codes were drawn.
      mask: float32; 0 for pictures that nothing is learnt from.
    """

    answers: Answers
    log_behaviour: jax.Array
    log_reference: jax.Array
    advantages: jax.Array
    returns: jax.Array
    values: jax.Array
    mask: jax.Array


def measure(distribution: Distribution, fusion: Any, critic: Any, answers: Answers) -> Measured:
    """Looks at answers once; `critic` is None where there is none."""
    choices = distribution(fusion, answers)
    log_probabilities = choices.log_probability(answers.codes)
    values = jnp.zeros_like(log_probabilities) if critic is None else values_of(critic, choices.hidden)
    return Measured(log_probabilities, choices.entropy(), values)


def divergence(distribution: Distribution, fusion: Any, reference: Any, answers: Answers) -> tuple[jax.Array, jax.Array]:
    """How far a policy is from its reference where these answers lead: exact in each code, not estimated from what was drawn.

    Returns:
      KL(policy ‖ reference) in nats a picture, and the policy's entropy in nats a code, float32 `[rows]` each.
    """
    ours, theirs = (jax.nn.log_softmax(distribution(f, answers).logits) for f in (fusion, reference))
    possible = jnp.isfinite(ours)
    p = jnp.where(possible, jnp.exp(ours), 0.0)
    apart = jnp.sum(p * jnp.where(possible, ours - theirs, 0.0), axis=(1, 2))
    return apart, jnp.mean(objectives.entropy(ours), axis=1)


def experience(
    settings: Settings,
    answers: Answers,
    log_behaviour: jax.Array,
    policy: Measured,
    reference: Measured,
    scores: jax.Array,
    coefficient: jax.Array,
) -> Experience:
    """Advantages of every code.

    Args:
      settings: of the run.
      answers: for each prompt its samples one after the other.
      log_behaviour: of the codes, as the sampler computed them.
      policy, reference: what is thought of the answers before any update.
      scores: float32 `[rows]`.
      coefficient: of the divergence.
    """
    mask = jnp.ones_like(log_behaviour)
    apart = objectives.kl_estimate(policy.log_probabilities, reference.log_probabilities, settings.divergence.estimate)
    cost = coefficient if settings.divergence.place == "reward" else jnp.zeros(())
    if settings.algorithm == "ppo":
        if settings.ppo.centred:
            of_prompts = scores.reshape(-1, settings.sampler.samples)
            scores = (of_prompts - jnp.mean(of_prompts, axis=1, keepdims=True)).ravel()
        rewards = objectives.token_rewards(scores, apart, mask, cost)
        advantages, returns = objectives.gae(rewards, policy.values, mask, settings.ppo.discount, settings.ppo.decay)
        advantages = objectives.whiten(advantages, mask)
    else:
        groups = (scores - cost * jnp.sum(apart, axis=1)).reshape(-1, settings.sampler.samples)
        found, alive = objectives.group_advantages(groups, settings.grpo.floor)
        advantages = found.reshape(-1, 1) * mask
        mask = jnp.repeat(alive, settings.sampler.samples)[:, None] * mask
        returns = jnp.zeros_like(mask)
    made = Experience(answers, log_behaviour, reference.log_probabilities, advantages, returns, policy.values, mask)
    return jax.lax.stop_gradient(made)


def policy_objective(
    settings: Settings,
    distribution: Distribution,
    fusion: Any,
    critic: Any,
    coefficient: jax.Array,
    batch: Experience,
) -> tuple[jax.Array, Mapping[str, jax.Array]]:
    """The loss of a minibatch, and what is worth knowing of it.

    Args:
      settings: of the run.
      distribution: what the pictures were drawn from.
      fusion: parameters of the policy's transformer.
      critic: of its value head, or None.
      coefficient: of the divergence.
      batch: some rows.
    """
    choices = distribution(fusion, batch.answers)
    log_policy = choices.log_probability(batch.answers.codes)
    everywhere = jnp.ones_like(log_policy)
    surrogate = objectives.policy_loss(log_policy, batch.log_behaviour, batch.advantages, batch.mask, settings.updates.clip)
    entropy = mean(choices.entropy(), everywhere)
    total = surrogate.loss
    if settings.updates.entropy:
        total -= settings.updates.entropy * entropy
    away = jnp.abs(log_policy - batch.log_behaviour)
    found = {
        "loss/policy": surrogate.loss,
        "clipped/policy": surrogate.clipped,
        "ratio/furthest": jnp.max(away),
        "ratio/off": mean((away > settings.sampler.tolerance).astype(jnp.float32), everywhere),
    }
    if settings.divergence.place == "loss":
        apart = mean(objectives.kl_estimate(log_policy, batch.log_reference, settings.divergence.estimate), everywhere)
        total += coefficient * apart
        found["loss/divergence"] = apart
    if critic is not None:
        values = values_of(critic, choices.hidden)
        loss = objectives.value_loss(values, batch.values, batch.returns, batch.mask, settings.ppo.clip)
        total += loss.loss
        found |= {"loss/value": loss.loss, "clipped/value": loss.clipped}
    return total, found
