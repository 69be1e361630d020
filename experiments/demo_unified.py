"""Second leg of `make demo`: a transformer from scratch on the codes of the first leg's tokenizers, in three minutes.

Enough to see every loss fall and colours and backgrounds come out right. The model that ships with the package is hardly
larger; it learnt to draw first (`experiments/small_unified.py`), and for much longer.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(root="runs/demo"):
    """About 1.4 million parameters."""
    config = config_dict(Settings())
    config.steps = 400
    config.log_every = 20

    config.data.datasets = (root + "/data/coded/train",)
    config.data.rows = 12
    config.data.length = 384
    config.data.auxiliary = 512
    config.data.pairs = 2
    tasks = config.data.recipes.tasks
    tasks.generate, tasks.caption, tasks.question, tasks.conversation, tasks.text = 4.0, 0.5, 3.0, 0.0, 0.0
    tasks.contrastive = 1.5
    config.evaluation.dataset = root + "/data/coded/validation"
    config.evaluation.every = 100
    config.evaluation.limit = 24
    config.evaluation.batch_size = 12
    config.checkpoint.every = 100

    model = config.model
    model.width, model.depth, model.heads, model.cross_every = 128, 4, 4, 2
    model.grid, model.tied, model.embedding = 12, True, 64
    model.memory.width, model.memory.groups, model.memory.codes = 64, 4, 1000
    model.code_levels = model.memory.fsq_levels = (8, 5, 5, 5)

    config.optimizer.kind = "muon"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 30
    config.optimizer.final_fraction = 0.05
    config.optimizer.weight_decay = 0.05
    return config
