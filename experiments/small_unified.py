"""The transformer of the model that ships with the package: draws, describes and answers questions about simple scenes.

  ugf prepare shapes:10000@256 data/coded/s256 --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.05
  ugf prepare shapes:4000@192 data/coded/s192 --tokenize=runs/small_tokenizer --drop_pixels --scales=192 --max_stretch=0.05
  ugf prepare shapes:2400@320 data/coded/s320 --tokenize=runs/small_tokenizer --drop_pixels --scales=320 --max_stretch=0.05
  ugf prepare clipart data/coded/clipart --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.15
  ugf train --config=experiments/small_unified.py:drawing --workdir=runs/small_drawing
  ugf train --config=experiments/small_unified.py --workdir=runs/small_unified

First it learns drawing alone. Most codes of a picture are background, so that all a caption says of it is worth a fiftieth of
the loss. Beside questions and contrastive pairs, whose gradients are larger and come from few tokens, that is not learnt: after
8,000 pictures a wrong caption costs a picture one nat more than its own. Alone it is learnt at once: 6.5 nats after 4,800. Then
it learns everything, with smaller weights for text and pairs.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(phase="everything"):
    """About 1.4 million parameters: on two CPU cores more pictures teach more than a larger model."""
    config = config_dict(Settings())
    config.log_every = 20

    # Three scales in many shapes, so that it knows the sizes that people ask for.
    config.data.datasets = tuple(f"data/coded/{name}/train" for name in ("s256", "s192", "s320", "clipart"))
    config.data.weights = (0.62, 0.2, 0.15, 0.03)
    # Short rows, of one document each: on a CPU the cost of looking into what is not one's own counts.
    config.data.rows = 12
    config.data.length = 320
    config.data.pairs = 1
    config.data.recipes.caption_dropout = 0.1
    config.objective.z = 1e-4
    config.evaluation.dataset = "data/coded/s256/validation"
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
    config.optimizer.weight_decay = 0.05
    if phase not in PHASES:
        raise ValueError(f"small_unified.py:{phase}: no such phase; want one of {', '.join(PHASES)}")
    return PHASES[phase](config)


def _drawing(config):
    config.steps = 3000
    config.data.auxiliary = config.data.recipes.auxiliary = 0  # nothing is looked at
    tasks = config.data.recipes.tasks
    tasks.caption = tasks.question = tasks.conversation = tasks.text = tasks.contrastive = 0.0
    config.objective.contrastive = 0.0
    config.optimizer.schedule = "constant"  # the next phase lowers it
    config.optimizer.ema_decay = 0.99
    return config


def _everything(config):
    config.init_from = "runs/small_drawing"
    config.steps = 2600
    config.data.auxiliary = 400
    tasks = config.data.recipes.tasks
    tasks.generate, tasks.caption, tasks.question, tasks.conversation, tasks.text = 6.0, 0.5, 2.5, 0.0, 0.05
    tasks.contrastive = 3.0
    # Each image that is asked about teaches drawing too, for the price of reading it.
    config.data.recipes.drawn = 0.2
    config.objective.text, config.objective.contrastive = 0.3, 0.1
    config.optimizer.final_fraction = 0.05
    config.optimizer.ema_decay = 0.998
    return config


PHASES = {"drawing": _drawing, "everything": _everything}
