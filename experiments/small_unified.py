"""The transformer of the model that ships with the package: draws, describes and answers questions about simple scenes.

ugf prepare shapes:24000 data/shapes_coded --tokenize=runs/small_tokenizer --drop_pixels
ugf prepare clipart data/clipart_coded --tokenize=runs/small_tokenizer --drop_pixels
ugf train --config=experiments/small_unified.py --workdir=runs/small_unified
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(data="data"):
    """About 4 million parameters."""
    config = config_dict(Settings())
    config.steps = 4000
    config.log_every = 20

    config.data.datasets = (data + "/shapes_coded/train", data + "/clipart_coded/train")
    config.data.weights = (0.95, 0.05)
    config.data.rows = 8
    config.data.length = 512
    config.data.auxiliary = 1536
    config.data.pairs = 4
    tasks = config.data.recipes.tasks
    tasks.generate, tasks.caption, tasks.question, tasks.conversation, tasks.text = 4.0, 1.0, 3.0, 0.0, 0.1
    tasks.contrastive = 1.5
    config.evaluation.dataset = data + "/shapes_coded/validation"
    config.evaluation.every = 250
    config.evaluation.items = 32
    config.evaluation.batch_size = 8
    config.checkpoint.every = 250

    model = config.model
    model.width, model.depth, model.heads, model.cross_every, model.gate = 192, 6, 6, 3, 0.5
    model.grid, model.tied, model.embedding = 8, True, 128
    model.memory.width, model.memory.groups, model.memory.codes = 96, 4, 1000
    model.memory.fsq_levels = (8, 5, 5, 5)

    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.final_fraction = 0.05
    config.optimizer.weight_decay = 0.05
    config.optimizer.ema_decay = 0.998
    return config
