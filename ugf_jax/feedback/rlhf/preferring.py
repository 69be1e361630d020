"""Steps of DPO: the policy learns from stored preferences, and nothing is drawn (Rafailov et al. 2023).

What moves is the likelihood of the master codes under the distribution that pictures are drawn from, guidance and temperature
included. Cuts are left out: a picture that was not drawn with them has no likelihood under them.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.feedback.rlhf.distribution import Answers, Distribution
from ugf_jax.feedback.rlhf.losses import divergence
from ugf_jax.feedback.rlhf.policy import Frozen, Policy
from ugf_jax.feedback.rlhf.settings import Settings
from ugf_jax.feedback.rlhf.steps import Step
from ugf_jax.models.fusion import Tokens
from ugf_jax.objectives.language import mean
from ugf_jax.objectives.preference import dpo_loss, pair_accuracy
from ugf_jax.training import sharding
from ugf_jax.training.frozen_groups import without_frozen
from ugf_jax.training.stage import Batch, ModelState, Params, Stage
from ugf_jax.training.stages.reward import rows_of
from ugf_jax.training.state import Metrics, TrainState, make_step

AFTER = 5  # tokens of a judged document from BOI on, beside its codes: BOI, two size tokens, EOI, END


def answers_of(rows: dict[str, jax.Array], vocabulary: VocabularySettings, cells: int) -> Answers:
    """Judged documents, one a row and from the row's beginning (`PreferenceLoader`), as prompts and answers."""
    tokens = rows["tokens"]
    room = tokens.shape[1] - cells - AFTER
    begin = jnp.argmax(tokens == vocabulary.boi, axis=1)[:, None]

    def take(places: jax.Array) -> jax.Array:
        return jnp.take_along_axis(tokens, places, axis=1)

    places = begin - room + jnp.arange(room)
    there = places >= 0
    ids = jnp.where(there, take(jnp.maximum(places, 0)), vocabulary.pad)
    prompts = Tokens(ids, there.astype(jnp.int32), jnp.maximum(places, 0), jnp.full_like(ids, -1))
    codes = take(begin + 3 + jnp.arange(cells)) - vocabulary.first_code
    return Answers(prompts, take(begin + 1 + jnp.arange(2)), codes)


class PreferenceSteps:
    """Steps of DPO.

    Attributes:
      settings: of the run.
      policy: what is trained.
      distribution: what it is the likelihood of, without cuts.
    """

    def __init__(self, settings: Settings, policy: Policy, distribution: Distribution):
        self.settings, self.policy, self.distribution = settings, policy, distribution
        self._frozen: Frozen | None = None
        self._limited = settings.limits.max_kl > 0 or settings.limits.min_entropy > 0

    def advance(self, optimizer: optax.GradientTransformation, stage: Stage) -> Step:
        """The step of a run; the mesh in force when this is called is the run's. See `PolicySteps.advance`."""
        self.mesh = mesh = jax.sharding.get_mesh()
        watch = jax.jit(self._divergence)
        self._measure = jax.jit(self._measures)
        update: Any = None

        def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            nonlocal update
            frozen = self.frozen(state.params)
            with jax.set_mesh(mesh):
                if update is None:
                    update = self.compile_update(optimizer, stage, state)
                state, metrics = update(state, frozen, batch)
                if self._limited:
                    metrics |= watch(state.params, frozen, batch)
            return state, metrics

        return step

    def frozen(self, params: Params) -> Frozen:
        """What is not trained; read when it is first wanted."""
        if self._frozen is None:
            self._frozen = self.policy.frozen(params, self.mesh)
        return self._frozen

    def evaluate(self, params: Params, batch: Batch) -> dict[str, tuple[jax.Array, jax.Array]]:
        """Measures of held-out preferences, and their weights."""
        with jax.set_mesh(self.mesh):
            found: dict[str, tuple[jax.Array, jax.Array]] = self._measure(params, self.frozen(params), batch)
        return found

    def likelihoods(self, fusion: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Log-probabilities of winners and of losers, float32 `[pairs]` each, summed over codes."""
        answers = self._answers(batch)
        found = jnp.sum(self.distribution(fusion, answers).log_probability(answers.codes), axis=1).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def loss(self, params: Params, frozen: Frozen, batch: Batch) -> tuple[jax.Array, Metrics]:
        """The loss of a batch of pairs, and what is worth knowing of it."""
        settings = self.settings.dpo
        winner, loser = self.likelihoods(self.policy.fusion(params, frozen.base), batch)
        theirs = jax.lax.stop_gradient(self.likelihoods(self.policy.fusion(frozen.reference, frozen.base), batch))
        total, margins = dpo_loss(winner, loser, *theirs, batch["weights"], settings.beta, settings.smoothing)
        weights = batch["weights"]
        return total, {
            "loss/preference": total,
            "accuracy/pairs": mean(pair_accuracy(margins, jnp.zeros_like(margins)), weights),
            "margin": mean(margins, weights),
            "moved/winners": mean(winner - theirs[0], weights),
            "moved/losers": mean(loser - theirs[1], weights),
        }

    def _measures(self, params: Params, frozen: Frozen, batch: Batch) -> dict[str, tuple[jax.Array, jax.Array]]:
        ours, theirs = (self.likelihoods(self.policy.fusion(p, frozen.base), batch) for p in (params, frozen.reference))
        margins = (ours[0] - theirs[0]) - (ours[1] - theirs[1])
        weights = batch["weights"]
        return {
            "loss/preference": (jax.nn.softplus(-self.settings.dpo.beta * margins), weights),
            "accuracy/pairs": (pair_accuracy(margins, jnp.zeros_like(margins)), weights),
            "moved/winners": (ours[0] - theirs[0], weights),
            "moved/losers": (ours[1] - theirs[1], weights),
        }

    def _divergence(self, params: Params, frozen: Frozen, batch: Batch) -> Metrics:
        """How far the update has led, seen at the winners."""
        winners = jax.tree.map(lambda x: x[::2], self._answers(batch))
        ours, theirs = (self.policy.fusion(p, frozen.base) for p in (params, frozen.reference))
        apart, entropy = divergence(self.distribution, ours, theirs, winners)
        return {"kl/after": jnp.mean(apart), "entropy/after": jnp.mean(entropy)}

    def _answers(self, batch: Batch) -> Answers:
        return answers_of(rows_of(batch), self.distribution.vocabulary, self.distribution.cells)

    def compile_update(self, optimizer: optax.GradientTransformation, stage: Stage, state: TrainState) -> Any:
        """`(state, frozen, batch) → (state, metrics)`."""
        settings = self.settings.optimizer

        def update(state: TrainState, frozen: Frozen, batch: Batch) -> tuple[TrainState, Metrics]:
            def loss(
                params: Params, model_state: ModelState, part: Batch, key: jax.Array, step: jax.Array
            ) -> tuple[jax.Array, tuple[ModelState, Metrics]]:
                total, metrics = self.loss(params, frozen, part)
                return total, (model_state, metrics)

            inner = without_frozen(dataclasses.replace(stage, loss=loss), settings)
            return make_step(inner, optimizer, settings.accumulate, settings.ema_decay)(state, batch)

        shardings = jax.tree.map(lambda x: x.sharding, state)
        return jax.jit(update, donate_argnums=0, out_shardings=(shardings, sharding.replicated(self.mesh)))
