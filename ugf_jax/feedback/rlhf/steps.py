"""A step of PPO or GRPO: draw pictures, have them judged, update the policy several times. The host leads; devices compute.

All that chance decides follows from the run's key and the number of the step, and all that a later step needs is in the state:
a run that was killed goes on with the same bits.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ugf_jax.errors import InputError
from ugf_jax.feedback.rlhf.distribution import Answers
from ugf_jax.feedback.rlhf.losses import Experience, Measured, divergence, experience, measure, policy_objective
from ugf_jax.feedback.rlhf.policy import Frozen
from ugf_jax.feedback.rlhf.prompts import PromptSource
from ugf_jax.feedback.rlhf.scores import combine
from ugf_jax.feedback.rlhf.studio import Drawn, Studio
from ugf_jax.objectives import policy as objectives
from ugf_jax.training import sharding
from ugf_jax.training.frozen_groups import without_frozen
from ugf_jax.training.stage import Batch, ModelState, Params, Stage
from ugf_jax.training.state import Metrics, TrainState, make_step

RARE = 1e-3  # share of codes that may differ where a top k or a top p cuts: rounding decides what is the last that is kept

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


class PolicySteps:
    """Steps of PPO or GRPO.

    Attributes:
      studio: where pictures are drawn and judged.
      source: of the prompts.
    """

    def __init__(self, studio: Studio, source: PromptSource):
        self.studio, self.source = studio, source
        self.settings, self.policy, self.distribution = studio.settings, studio.policy, studio.distribution

    def advance(self, optimizer: optax.GradientTransformation, stage: Stage) -> Step:
        """The step of a run; the mesh in force when this is called is the run's.

        Args:
          optimizer: of the run.
          stage: what `make_step` takes an update of; its loss is replaced by that of minibatches.
        """
        mesh = jax.sharding.get_mesh()
        self.studio.open(mesh)
        find_kept, look, prepare = jax.jit(self._find_kept), jax.jit(self._measure), jax.jit(self._prepare)
        watch, average = jax.jit(self._divergence), jax.jit(_average)
        update: Any = None

        def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            nonlocal update
            key = jax.random.fold_in(state.key, state.step)
            draw_key, shuffle_key = jax.random.split(key)
            prompts = jnp.arange(batch["row"].shape[0])
            drawn = self.studio.draw(state.params, batch, draw_key, prompts)
            rewards = self.studio.rewards(self.source, drawn)
            frozen = self.studio.frozen(state.params)
            with jax.set_mesh(mesh):
                if update is None:
                    update = self.compile_update(optimizer, stage, state)
                answers = drawn.answers
                if self.distribution.cut:
                    answers = find_kept(state.params, frozen.base, answers)
                policy = look(state.params, frozen.base, answers)
                reference = look(frozen.reference, frozen.base, answers)
                model_state, found, metrics = prepare(state.model_state, drawn, answers, policy, reference, rewards)
                self._check("a second look at", metrics)
                next_step = state.step + 1  # updates leave nothing of the state that they get
                made: list[Metrics] = []
                for number in range(self.settings.updates_per_step):
                    state, measured = update(state, frozen.base, found, shuffle_key, number)
                    made.append(measured)
                    if not number:
                        self._check("the first update of", measured)
                metrics |= average(made) | {name: made[-1][name] for name in ("bad_steps", "skipped")}
                metrics |= {name: made[0][name] for name in ("ratio/furthest", "ratio/off")}
                metrics |= watch(state.params, frozen, answers)
                state = state.replace(step=next_step, model_state=_placed(model_state, state.model_state))
            return state, metrics

        return step

    def compile_update(self, optimizer: optax.GradientTransformation, stage: Stage, state: TrainState) -> Any:
        """`(state, base, experience, key, number) → (state, metrics)`; the number of the step stays as it is."""
        settings = self.settings

        def update(
            state: TrainState, base: Any, found: Experience, key: jax.Array, number: jax.Array
        ) -> tuple[TrainState, Metrics]:
            def loss(params: Params, model_state: ModelState, batch: Any, key: jax.Array, step: jax.Array) -> Any:
                fusion, critic = self.policy.fusion(params, base), params.get("critic")
                total, metrics = policy_objective(
                    settings, self.distribution, fusion, critic, model_state["coefficient"], batch
                )
                return total, (model_state, metrics)

            inner = without_frozen(dataclasses.replace(stage, loss=loss), settings.optimizer)
            step = make_step(inner, optimizer, settings.optimizer.accumulate, settings.optimizer.ema_decay)
            minibatch: Any = self._minibatch(found, key, number)
            after, metrics = step(state, minibatch)
            return after.replace(step=state.step), metrics

        shardings = jax.tree.map(lambda x: x.sharding, state)
        everywhere = sharding.replicated(self.studio.mesh)
        return jax.jit(update, donate_argnums=0, out_shardings=(shardings, everywhere))

    def _minibatch(self, found: Experience, key: jax.Array, number: jax.Array) -> Experience:
        """The rows of an update; every pass takes all rows once, in an order of its own."""
        each = self.settings.updates.minibatches
        rows = found.mask.shape[0]
        order = jax.random.permutation(jax.random.fold_in(key, number // each), rows)
        mine = jax.lax.dynamic_slice_in_dim(order, number % each * (rows // each), rows // each)
        return jax.tree.map(lambda x: x[mine], found)

    def _find_kept(self, params: Params, base: Any, answers: Answers) -> Answers:
        return self.distribution.find_kept(self.policy.fusion(params, base), answers)

    def _measure(self, params: Params, base: Any, answers: Answers) -> Measured:
        return measure(self.distribution, self.policy.fusion(params, base), params.get("critic"), answers)

    def _divergence(self, params: Params, frozen: Frozen, answers: Answers) -> Metrics:
        """How far the updates have led, seen at the first picture of each prompt."""
        first = jax.tree.map(lambda x: x[:: self.settings.sampler.samples], answers)
        ours, theirs = (self.policy.fusion(p, frozen.base) for p in (params, frozen.reference))
        apart, entropy = divergence(self.distribution, ours, theirs, first)
        return {"kl/after": jnp.mean(apart), "entropy/after": jnp.mean(entropy)}

    def abstract_experience(self, state: TrainState, base: Any, batch: Batch) -> Experience:
        """Shapes of what the updates of a step learn from; all arguments may be abstract."""
        rows = batch["row"]
        keys = jax.eval_shape(lambda: jax.random.key(0))
        drawn = jax.eval_shape(self.studio.draw_all, state.params, base, batch, keys, rows)
        answers = jax.eval_shape(self._find_kept, state.params, base, drawn.answers)
        seen = jax.eval_shape(self._measure, state.params, base, answers)
        rewards = dict.fromkeys(self.settings.rewards, jax.ShapeDtypeStruct(answers.codes.shape[:1], jnp.float32))
        return jax.eval_shape(self._prepare, state.model_state, drawn, answers, seen, seen, rewards)[1]

    def _prepare(
        self,
        kept: ModelState,
        drawn: Drawn,
        answers: Answers,
        policy: Measured,
        reference: Measured,
        rewards: Mapping[str, jax.Array],
    ) -> tuple[ModelState, Experience, Metrics]:
        """The next model state, what is learnt from, and the metrics of the rollout."""
        settings = self.settings
        weights = {name: reward.weight for name, reward in settings.rewards.items()}
        running, scores = combine(kept["rewards"], rewards, weights, settings.reward_cap)
        found = experience(settings, answers, drawn.log_behaviour, policy, reference, scores, kept["coefficient"])
        apart = jnp.sum(objectives.kl_estimate(policy.log_probabilities, reference.log_probabilities), axis=1)
        coefficient, held = kept["coefficient"], settings.divergence
        if held.target:
            coefficient = objectives.adapted_coefficient(coefficient, jnp.mean(apart), held.target, len(scores), held.horizon)
        away = jnp.abs(policy.log_probabilities - drawn.log_behaviour)
        metrics = {
            **self.studio.named({name: jnp.mean(values) for name, values in rewards.items()}),
            "kl": jnp.mean(apart),
            "entropy": jnp.mean(policy.entropy),
            "diversity": jnp.mean(drawn.diversity),
            "coefficient": kept["coefficient"],
            "ratio/off": jnp.mean(away > settings.sampler.tolerance),
            "ratio/furthest": jnp.max(away),
        }
        if settings.algorithm == "ppo":
            metrics["explained_variance"] = objectives.explained_variance(found.values, found.returns, found.mask)
        else:
            metrics["groups/alive"] = jnp.mean(found.mask)
        return {"coefficient": coefficient, "rewards": running}, found, metrics

    def _check(self, what: str, metrics: Metrics) -> None:
        """Before anything has changed, the policy must think of its pictures what the sampler thought.

        Raises:
          InputError: it does not.
        """
        allowed = RARE if self.distribution.cut else 0.0
        if not float(metrics["ratio/off"]) <= allowed:
            raise InputError(
                f"{what} the pictures finds other log-probabilities than the sampler, by up to "
                f"{float(metrics['ratio/furthest']):.3g}; config.sampler.tolerance allows {self.settings.sampler.tolerance}: "
                "want float32 in the model, or a higher tolerance for bfloat16"
            )


def _placed(new: ModelState, old: ModelState) -> ModelState:
    return jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), new, old)


def _average(metrics: list[Metrics]) -> Metrics:
    return {name: jnp.mean(jnp.stack([one[name] for one in metrics])) for name in metrics[0]}
