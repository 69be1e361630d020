"""Settings of stage `rlhf`."""

import dataclasses
import re

from ugf_jax.config import FRACTION, NOT_NEGATIVE, POSITIVE, one_of, setting
from ugf_jax.data.preference_loader import PreferenceSettings
from ugf_jax.errors import InputError
from ugf_jax.generation.defaults import GUIDANCE
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.objectives.policy import KL_ESTIMATES
from ugf_jax.training.settings import TrainSettings

ALGORITHMS = ("ppo", "grpo", "dpo")
PLACES = ("reward", "loss")
REWARDS = ("checker", "right", "learned", "alignment", "brightness", "function")


@dataclasses.dataclass(frozen=True)
class PromptSettings:
    """What is drawn (PPO and GRPO)."""

    source: str = setting(
        "shapes:train", doc="shapes:SPLIT or shapes:SPLIT:COUNT, a text file with a prompt a line, or a dataset with captions"
    )
    count: int = setting(16, POSITIVE, "prompts of a step, of all devices together")
    length: int = setting(96, POSITIVE, "tokens of a prompt with the marks of its turns; a longer one is cut")
    sizes: tuple[tuple[int, int], ...] = setting(((256, 256),), doc="(height, width) of pictures in pixels, taken in turn")
    seed: int = setting(0, NOT_NEGATIVE)

    def validate(self, path: str) -> None:
        """Refuses lengths and sizes that no prompt has."""
        if self.length < 5:
            raise InputError(f"{path}.length is {self.length}; want at least 5: three marks and some text")
        if not self.sizes or min(map(min, self.sizes)) < 1:
            raise InputError(f"{path}.sizes is {self.sizes}; want at least one (height, width) in pixels")


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """The distribution that is optimised, and how much is drawn from it."""

    samples: int = setting(4, POSITIVE, "pictures of each prompt")
    guidance: float = setting(GUIDANCE, POSITIVE, "as in generation; 1: none, and half the work")
    image: SamplingSettings = setting(SamplingSettings())
    tolerance: float = setting(
        0.01, POSITIVE, "most that a log-probability may differ between drawing and training; bfloat16 wants about 0.5"
    )

    def validate(self, path: str) -> None:
        """Refuses a temperature at which nothing is left to chance."""
        if self.image.temperature == 0:
            raise InputError(f"{path}.image.temperature is 0: nothing would be tried; want it greater than 0")


@dataclasses.dataclass(frozen=True)
class RewardSettings:
    """One thing that pictures are judged by."""

    kind: str = setting("checker", one_of(*REWARDS))
    source: str = setting("", doc="learned: work folders of runs of stage reward, split by commas; function: module:name")
    weight: float = setting(1.0, doc="in the reward, in deviations; 0: held out, so measured and never trained on")


@dataclasses.dataclass(frozen=True)
class DivergenceSettings:
    """How the policy is held near the model that it started from (PPO and GRPO)."""

    coefficient: float = setting(0.02, NOT_NEGATIVE, "reward, in deviations, that a nat a picture costs")
    place: str = setting("loss", one_of(*PLACES), "subtracted from the reward of each token, or added to the loss")
    estimate: str = setting("k3", one_of(*KL_ESTIMATES), "see `kl_estimate`; k1 for place reward, where it is unbiased")
    target: float = setting(0.0, NOT_NEGATIVE, "nats a picture that the coefficient is adapted to; 0: it is constant")
    horizon: float = setting(2000.0, POSITIVE, "pictures in which an adapted coefficient changes by at most about a fifth")

    def validate(self, path: str) -> None:
        """Refuses a coefficient that can never grow, and an estimate whose gradient is not that of the divergence."""
        if self.target and not self.coefficient:
            raise InputError(f"{path}.coefficient is 0 and {path}.target {self.target}; want a coefficient to adapt")
        if self.place == "loss" and self.estimate == "k1":
            raise InputError(f"{path}.estimate is k1 and {path}.place loss: its mean gradient is 0; want k2 or k3")


@dataclasses.dataclass(frozen=True)
class UpdateSettings:
    """What is done with the pictures of a step (PPO and GRPO)."""

    epochs: int = setting(2, POSITIVE, "passes over the pictures of a step")
    minibatches: int = setting(4, POSITIVE, "updates of a pass")
    clip: float = setting(0.2, POSITIVE, "how far the ratio of a token may move from 1")
    entropy: float = setting(0.0, NOT_NEGATIVE, "weight of the entropy, in nats a token, in the loss")


@dataclasses.dataclass(frozen=True)
class PPOSettings:
    """Advantages from values (Schulman et al. 2017). The values read the transformer's hidden states and do not move them."""

    discount: float = setting(1.0, FRACTION, "of a reward, a token")
    decay: float = setting(0.95, FRACTION, "lambda of generalised advantage estimation")
    hidden: int = setting(256, POSITIVE, "features inside the value head")
    centred: bool = setting(False, doc="scores count from the mean of their prompt, so that no value need know how hard it is")
    clip: float = setting(0.5, POSITIVE, "how far a value may move in a step, in deviations of the reward")


@dataclasses.dataclass(frozen=True)
class GRPOSettings:
    """Advantages within the pictures of a prompt (Shao et al. 2024)."""

    floor: float = setting(0.1, POSITIVE, "least deviation divided by, in deviations of all rewards")


@dataclasses.dataclass(frozen=True)
class DPOSettings:
    """Stored preferences (Rafailov et al. 2023)."""

    beta: float = setting(0.1, POSITIVE, "how strongly the policy is held at the model that it started from")
    smoothing: float = setting(0.0, ("from 0 to below 0.5", lambda x: 0 <= x < 0.5), "how often a preference is wrong")


@dataclasses.dataclass(frozen=True)
class LimitSettings:
    """Where a run stops before it keeps a spoilt state. Both are measured after every step."""

    max_kl: float = setting(0.0, NOT_NEGATIVE, "nats a picture from the model that the run started from; 0: any")
    min_entropy: float = setting(0.0, NOT_NEGATIVE, "nats a token")


@dataclasses.dataclass(frozen=True)
class LoraSettings:
    """Low-rank changes of frozen matrices (Hu et al. 2021), in place of changes of all parameters."""

    rank: int = setting(0, NOT_NEGATIVE, "0: all parameters are trained")
    alpha: float = setting(16.0, POSITIVE, "changes are scaled by alpha / rank")
    targets: str = setting(
        r"layers/.*(attention|mlp|cross)/\w+/kernel$", doc="regular expression searched for in the path of each matrix"
    )

    def validate(self, path: str) -> None:
        """Refuses what is no regular expression."""
        try:
            re.compile(self.targets)
        except re.error as error:
            raise InputError(f"{path}.targets: '{self.targets}' is not a regular expression ({error})") from error


@dataclasses.dataclass(frozen=True)
class Settings(TrainSettings):
    """A whole config of stage `rlhf`. A step is a rollout and all its updates; `optimizer.warmup_steps` counts updates.

    `evaluation.dataset` names held-out prompts like `prompts.source` (PPO and GRPO) or a dataset of preferences (DPO).
    """

    stage: str = "rlhf"
    algorithm: str = setting("ppo", one_of(*ALGORITHMS))
    model: str = setting("", doc="where the policy starts and what it is held near: a model made by `ugf export`")
    prompts: PromptSettings = setting(PromptSettings())
    data: PreferenceSettings = setting(PreferenceSettings(), doc="preferences (DPO)")
    sampler: SamplerSettings = setting(SamplerSettings())
    rewards: dict[str, RewardSettings] = setting({"checker": RewardSettings()}, doc="by the name that they have in the log")
    reward_cap: float = setting(5.0, POSITIVE, "deviations from its mean beyond which a reward does not grow")
    details: bool = setting(False, doc="judge pictures with their details; False: what master codes alone show, much quicker")
    divergence: DivergenceSettings = setting(DivergenceSettings())
    updates: UpdateSettings = setting(UpdateSettings())
    ppo: PPOSettings = setting(PPOSettings())
    grpo: GRPOSettings = setting(GRPOSettings())
    dpo: DPOSettings = setting(DPOSettings())
    limits: LimitSettings = setting(LimitSettings())
    lora: LoraSettings = setting(LoraSettings())

    def validate(self, path: str) -> None:
        """Refuses numbers that do not divide, and groups of one."""
        super().validate(path)
        if self.algorithm == "dpo":
            return
        if not any(reward.weight for reward in self.rewards.values()):
            raise InputError(f"{path}.rewards: none has a weight other than 0; want at least one to learn from")
        if not self.details and any(reward.kind == "alignment" for reward in self.rewards.values()):
            raise InputError(f"{path}.details is False; a reward of kind alignment looks at details: want True")
        pictures = self.prompts.count * self.sampler.samples
        if pictures % (self.updates.minibatches * self.optimizer.accumulate):
            raise InputError(
                f"{path}.updates.minibatches is {self.updates.minibatches} and {path}.optimizer.accumulate "
                f"{self.optimizer.accumulate}; want their product to divide the {pictures} pictures of a step"
            )
        compared = {"grpo": "grpo", "ppo": f"{path}.ppo.centred" if self.ppo.centred else ""}[self.algorithm]
        if compared and self.sampler.samples < 2:
            raise InputError(f"{path}.sampler.samples is 1; {compared} compares the pictures of a prompt: want at least 2")

    @property
    def updates_per_step(self) -> int:
        """Updates of the optimizer in a step."""
        return 1 if self.algorithm == "dpo" else self.updates.epochs * self.updates.minibatches
