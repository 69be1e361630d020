"""The detail model of the model that ships with the package: auxiliary codes for what the transformer has drawn.

  ugf train --config=experiments/small_detail.py --workdir=runs/small_detail --config.tokenizer=runs/small_tokenizer

Trained after the tokenizers are final: it learns their codes. Drawing takes the likeliest codes, which from a small model gives
cleaner pictures than drawing them at random.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.detail import Settings


def get_config(data="data"):
    """About 0.9 million parameters beside the frozen tokenizers."""
    config = config_dict(Settings())
    config.tokenizer = "runs/small_tokenizer"
    config.steps = 600
    config.log_every = 50

    config.data.datasets = (data + "/shapes/train", data + "/clipart/train")
    config.data.weights = (0.85, 0.15)
    config.data.scales = ((192, 16),)  # windows of 8×8 positions: what it learns at 192 holds at any size
    config.data.max_stretch = 0.15  # few buckets: each is a compilation
    config.data.max_crop = 0.15
    config.evaluation.dataset = data + "/shapes/validation"
    config.evaluation.every = 300
    config.evaluation.limit = 32
    config.checkpoint.every = 300

    config.model.width, config.model.depth, config.model.heads, config.model.window = 128, 4, 4, 8
    config.sampling.temperature = 0.0

    config.optimizer.kind = "muon"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 20
    config.optimizer.final_fraction = 0.05
    config.optimizer.ema_decay = 0.995
    return config
