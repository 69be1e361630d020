"""Where a policy draws and is judged: the sampler as one program on the training mesh, the judge on the host."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.errors import InputError
from ugf_jax.feedback.rlhf.distribution import Answers, Distribution
from ugf_jax.feedback.rlhf.judge import Judge
from ugf_jax.feedback.rlhf.policy import Frozen, Policy
from ugf_jax.feedback.rlhf.prompts import PromptSource
from ugf_jax.feedback.rlhf.rollout import diversity, draw, row_keys
from ugf_jax.feedback.rlhf.settings import Settings
from ugf_jax.models.fusion import Tokens
from ugf_jax.training import sharding
from ugf_jax.training.stage import Batch, Params

SHOWN = 4  # pictures of a prompt in a grid for people, at most


@flax.struct.dataclass
class Drawn:
    """Pictures of a batch of prompts, whole on every device; for each prompt its samples one after the other.

    Attributes:
      answers: what was drawn.
      log_behaviour: float32 `[rows, cells]`, log-probabilities of the codes as the sampler computed them.
      numbers: int32 `[prompts]`, of the prompts in their source.
      diversity: float32 `[prompts]`.
    """

    answers: Answers
    log_behaviour: jax.Array
    numbers: jax.Array
    diversity: jax.Array


class Studio:
    """Draws pictures and has them judged.

    Attributes:
      settings: of the run.
      policy: who draws.
      distribution: what is drawn from.
      judge: who judges.
      mesh: of the run; see `open`.
    """

    mesh: jax.sharding.Mesh

    def __init__(self, settings: Settings, policy: Policy, distribution: Distribution, judge: Judge):
        self.settings, self.policy, self.distribution, self.judge = settings, policy, distribution, judge
        self._frozen: Frozen | None = None

    def open(self, mesh: jax.sharding.Mesh) -> None:
        """Says where programs run; before anything else."""
        self.mesh = mesh
        self._draw = jax.jit(self.draw_all, out_shardings=sharding.replicated(mesh))

    def frozen(self, params: Params) -> Frozen:
        """What is not trained; read when it is first wanted."""
        if self._frozen is None:
            self._frozen = self.policy.frozen(params, self.mesh)
        return self._frozen

    def draw(self, params: Params, batch: Batch, key: jax.Array, numbers: jax.Array) -> Drawn:
        """Pictures of a batch of prompts.

        Args:
          params: of the policy.
          batch: see `prompts`.
          key: random key.
          numbers: int32 `[prompts]`, told apart by these, prompts are drawn with other keys.
        """
        with jax.set_mesh(self.mesh):
            drawn: Drawn = self._draw(params, self.frozen(params).base, batch, key, numbers)
        return drawn

    def rewards(self, source: PromptSource, drawn: Drawn) -> dict[str, jax.Array]:
        """What the judge says, float32 `[rows]` by name; each process asks for its own rows.

        Raises:
          InputError: a reward that is not finite.
        """
        numbers, masters = np.asarray(drawn.numbers), np.asarray(drawn.answers.codes)
        share = len(numbers) // jax.process_count()
        own = range(jax.process_index() * share, (jax.process_index() + 1) * share)
        samples, sizes, grid = self.settings.sampler.samples, self.settings.prompts.sizes, self.distribution.settings.grid
        wanted = [int(numbers[i]) for i in own for _ in range(samples)]
        mine = masters[own.start * samples : own.stop * samples].reshape(-1, grid, grid)
        found = self.judge.rewards([source[n] for n in wanted], mine, [sizes[n % len(sizes)] for n in wanted])
        for name, values in found.items():
            if not np.isfinite(values).all():
                raise InputError(f"config.rewards.{name}: gave {values[~np.isfinite(values)][0]}; want finite numbers")
        return sharding.to_global({name: np.asarray(x, np.float32) for name, x in found.items()}, self.mesh)

    def named(self, rewards: Mapping[str, Any]) -> dict[str, Any]:
        """Rewards by the name that they have in the log, which says whether they are trained on."""
        settings = self.settings.rewards
        trained = {name for name in rewards if name not in settings or settings[name].weight}
        return {f"reward/{name}" if name in trained else f"held_out/{name}": x for name, x in rewards.items()}

    def evaluate(
        self, source: PromptSource, params: Params, batch: Batch
    ) -> dict[str, tuple[jax.Array | np.ndarray, jax.Array | np.ndarray]]:
        """Measures of held-out prompts, and their weights; each prompt is always drawn with the same keys."""
        drawn = self.draw(params, batch, jax.random.key(self.settings.seed), batch["row"])
        weight = batch["weight"]
        each = jnp.repeat(weight, self.settings.sampler.samples)
        entropy = -jnp.mean(drawn.log_behaviour, axis=1)  # what was drawn says what it is on average
        found = {name: (values, each) for name, values in self.named(self.rewards(source, drawn)).items()}
        return {**found, "entropy": (entropy, each), "diversity": (drawn.diversity, weight)}

    def sample(self, params: Params, batch: Batch) -> np.ndarray:
        """Pictures of held-out prompts, always with the same keys: float `[prompts, samples, H, W, 3]` in [-1, 1]."""
        drawn = self.draw(params, batch, jax.random.key(self.settings.seed), batch["row"])
        samples, grid = self.settings.sampler.samples, self.distribution.settings.grid
        masters = np.asarray(drawn.answers.codes).reshape(-1, samples, grid, grid)[:, :SHOWN]
        flat = masters.reshape(-1, grid, grid)
        painted = self.judge.paint(flat, self.settings.prompts.sizes[:1] * len(flat))
        pixels = np.stack(painted).astype(np.float32) / 127.5 - 1
        return pixels.reshape(*masters.shape[:2], *pixels.shape[1:])

    def draw_all(self, params: Params, base: Any, batch: Batch, key: jax.Array, numbers: jax.Array) -> Drawn:
        """What `draw` compiles; `base` is what the policy shares with its reference."""
        samples, prompts = self.settings.sampler.samples, Tokens.of(batch)
        keys = row_keys(key, numbers, samples)
        fusion = self.policy.fusion(params, base)
        made = draw(self.distribution, samples, fusion, prompts, batch["sizes"], keys)
        prompts, sizes = jax.tree.map(lambda x: jnp.repeat(x, samples, axis=0), (prompts, batch["sizes"]))
        differ = diversity(made.codes.reshape(-1, samples, made.codes.shape[1]))
        return Drawn(Answers(prompts, sizes, made.codes), made.log_probabilities, batch["row"], differ)
