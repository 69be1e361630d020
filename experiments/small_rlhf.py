"""A small generator learns from a program that checks its pictures: PPO, or GRPO and DPO by a flag.

  ugf train --config=experiments/small_rlhf.py:runs/model --workdir=runs/ppo
  ugf train --config=experiments/small_rlhf.py:runs/model --workdir=runs/grpo --config.algorithm=grpo
  ugf train --config=experiments/small_rlhf.py:runs/model --workdir=runs/dpo --config.algorithm=dpo
      --config.data.datasets="('data/rated/train',)" --config.evaluation.dataset=data/rated/validation
  ugf train --config=experiments/small_rlhf.py:runs/model,runs/reward0,runs/reward1 --workdir=runs/learned

`runs/model` is a model made by `ugf export`; without one, as in `small_rlhf.py:,runs/reward0`, it is the model that comes with
the package. Pictures are drawn without guidance, which is half the work, and judged by what their master codes show: by the
checker, or by the runs of stage `reward` that are named behind the model, averaged. The share that is wholly right and the
brightness are watched and never rewarded; nor is the checker's share where a reward was learnt.
"""

from ugf_jax.config import config_dict
from ugf_jax.feedback.rlhf.settings import RewardSettings, Settings
from ugf_jax.generation.unified_model import SHIPPED
from ugf_jax.training.optimizer import GroupSettings


def get_config(model_and_rewards=str(SHIPPED)):
    """128 pictures a step, each used twice."""
    model, _, learned = model_and_rewards.partition(",")
    rewards = {kind: RewardSettings(kind, weight=0.0) for kind in ("checker", "right", "brightness")}
    if learned:
        rewards["learned"] = RewardSettings("learned", source=learned)
    else:
        rewards["checker"] = RewardSettings("checker")
    config = config_dict(Settings(rewards=rewards))
    config.model = model or str(SHIPPED)
    config.steps = 24
    config.log_every = 1

    config.prompts.source = "shapes:train"
    config.prompts.count, config.sampler.samples = 16, 8
    config.prompts.length = 28
    config.sampler.guidance = 1.0
    config.updates.epochs, config.updates.minibatches = 2, 4
    config.ppo.centred = True
    config.ppo.decay = 1.0  # what a picture is worth shows at its end: little of it would reach the first codes
    config.divergence.coefficient = 0.05
    config.limits.max_kl = 100.0
    config.limits.min_entropy = 0.02
    config.data.pairs, config.data.length, config.data.auxiliary = 16, 96, 0  # of DPO: master codes, as in what is judged

    config.evaluation.dataset = "shapes:validation"
    config.evaluation.every = 12
    config.evaluation.limit = 64
    config.evaluation.batch_size = 8
    config.checkpoint.every = 10

    config.optimizer.learning_rate = 2e-4
    config.optimizer.schedule, config.optimizer.final_fraction = "cosine", 0.1  # later steps would only walk about
    config.optimizer.warmup_steps = 8
    config.optimizer.weight_decay = 0.0
    # Where nothing is rewarded gradients are rounding; with a smaller epsilon Adam would take whole steps along them.
    config.optimizer.eps = 1e-5
    config.optimizer.groups.critic = config_dict(GroupSettings(learning_rate_scale=5.0))
    # Embeddings know shapes and colours apart from each other. Few pictures would teach each of 8,192 codes for itself.
    config.optimizer.groups[r"^fusion/embed/"] = config_dict(GroupSettings(learning_rate_scale=0.0))
    return config
