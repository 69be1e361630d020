"""The transformer of the model that ships with the package: draws, describes and answers questions about simple scenes.

  ugf train --config=experiments/small_drawing.py --workdir=runs/small_drawing     # its docstring prepares the data
  ugf train --config=experiments/small_unified.py --workdir=runs/small_unified

It can draw when it begins. Text and contrastive pairs weigh less than codes: their means are over few tokens, so that their
gradients are the larger ones, and drawing would be lost in their noise.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(data="data"):
    """About 1.4 million parameters: on two CPU cores more pictures teach more than a larger model."""
    config = config_dict(Settings())
    config.init_from = "runs/small_drawing"
    config.steps = 2600
    config.log_every = 20

    config.data.datasets = tuple(f"{data}/coded/{name}/train" for name in ("s256", "s192", "s320", "clipart"))
    config.data.weights = (0.62, 0.2, 0.15, 0.03)
    # Short rows, of one document each: on a CPU the cost of looking into what is not one's own counts.
    config.data.rows = 12
    config.data.length = 320
    config.data.auxiliary = 400
    config.data.pairs = 1
    tasks = config.data.recipes.tasks
    tasks.generate, tasks.caption, tasks.question, tasks.conversation, tasks.text = 6.0, 0.5, 2.5, 0.0, 0.05
    tasks.contrastive = 3.0
    # Each image that is asked about teaches drawing too, for the price of reading it.
    config.data.recipes.drawn, config.data.recipes.caption_dropout = 0.2, 0.1
    config.objective.text, config.objective.contrastive, config.objective.z = 0.3, 0.1, 1e-4
    config.evaluation.dataset = data + "/coded/s256/validation"
    config.evaluation.every = 300
    config.evaluation.limit = 48
    config.evaluation.batch_size = 12
    config.checkpoint.every = 300

    model = config.model
    model.width, model.depth, model.heads, model.cross_every, model.gate = 128, 4, 4, 2, 0.5
    model.grid, model.cell_places, model.prompt_mean, model.tied, model.embedding = 16, True, True, True, 128
    model.memory.width, model.memory.groups, model.memory.codes = 64, 4, 1000
    model.code_levels, model.memory.fsq_levels = (10, 10, 10), (8, 5, 5, 5)

    config.optimizer.kind = "muon"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.final_fraction = 0.05
    config.optimizer.weight_decay = 0.05
    config.optimizer.ema_decay = 0.998
    return config
