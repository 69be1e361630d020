"""A reward model from preferences between pictures, on the transformer of the model that ships with the package.

ugf prepare votes:prefs.jsonl data/preferences --tokenize=runs/small_tokenizer
ugf train --config=experiments/small_reward.py:data/preferences --workdir=runs/reward0
ugf train --config=experiments/small_reward.py:data/preferences --workdir=runs/reward1 --config.data.seed=1
ugf evaluate --workdir=runs/reward0 --ensemble=runs/reward1 --tasks=reward --data=data/preferences/test
"""

from ugf_jax.config import config_dict
from ugf_jax.generation.unified_model import SHIPPED
from ugf_jax.training.optimizer import GroupSettings
from ugf_jax.training.stages.reward import Settings


def get_config(data="data/preferences", model=str(SHIPPED)):
    """About 2,000 preferences, each seen twice; more passes learn the raters' errors by heart."""
    config = config_dict(Settings())
    config.model = model
    config.steps = 200

    config.data.datasets = (data + "/train",)
    config.data.pairs = 16
    config.data.length = 384
    config.data.auxiliary = 1024
    config.evaluation.dataset = data + "/validation"
    config.evaluation.every = 50
    config.evaluation.limit = 256
    config.evaluation.batch_size = 16
    config.checkpoint.every = 50

    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 25
    config.optimizer.weight_decay = 0.05
    config.optimizer.ema_decay = 0.98
    config.optimizer.groups[r"^fusion/embed/"] = config_dict(GroupSettings(learning_rate_scale=0.0))
    return config
