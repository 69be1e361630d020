r"""What is auxiliary memory worth? Questions about fine details, learnt from the small model on, with memory or without.

  ugf prepare busy:8000 data/busy256 --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.15
  ugf prepare fine:12000 data/fine256 --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.15
  ugf train --config=experiments/fine_questions.py:seeing --workdir=runs/fine_seeing
  ugf train --config=experiments/fine_questions.py:asked --workdir=runs/fine_asked

First the model says what is where in pictures full of objects, since an answer to a usual question tells little of a picture;
then it is asked about details. Without memory, each with folders of its own (`--config.init_from=runs/fine_seeing_blind`):

  … --config.data.recipes.memory_dropout=1 --config.data.auxiliary=16 --workdir=runs/fine_seeing_blind

Evaluated with `ugf evaluate --tasks=understanding`, the blind one with --nomemory. Letters, thin outlines and dots are smaller
than a master code can tell; a model without memory can only guess. The first phase begins with fresh cross-attentions.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(phase="asked"):
    """The small model, trained on from its own parameters."""
    config = config_dict(Settings())
    config.log_every = 20

    config.data.pairs = 0
    config.data.recipes.memory_dropout = 0.0
    tasks = config.data.recipes.tasks
    tasks.generate = tasks.caption = tasks.conversation = tasks.text = tasks.contrastive = 0.0
    tasks.question = 1.0
    config.objective.logits_chunk, config.objective.skip_untrained = 16, True
    config.objective.image = config.objective.contrastive = 0.0
    config.evaluation.every = 100
    config.evaluation.limit = 128
    config.evaluation.batch_size = 16
    config.checkpoint.every = 100

    model = config.model  # that of experiments/small_unified.py, with a memory whose positions see their neighbours
    model.width, model.depth, model.heads, model.cross_every, model.gate = 128, 4, 4, 2, 1.0
    model.grid, model.cell_places, model.prompt_mean, model.tied, model.embedding = 8, True, True, True, 128
    model.memory.width, model.memory.depth, model.memory.groups, model.memory.codes = 96, 2, 4, 1000
    model.memory.fsq_levels = (8, 5, 5, 5)
    model.code_levels, model.code_rows, config.vocabulary.codes = (32, 256), "product", 32 * 256

    config.optimizer.kind = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 20
    config.optimizer.final_fraction = 0.05
    config.optimizer.ema_decay = 0.99
    if phase not in PHASES:
        raise ValueError(f"fine_questions.py:{phase}: no such phase; want one of {', '.join(PHASES)}")
    return PHASES[phase](config)


def _seeing(config):
    config.init_from, config.init_except = "runs/small_looking", "^memory/|^layers/(cross|gate)"
    config.steps = 700
    config.data.datasets, config.evaluation.dataset = ("data/busy256/train",), "data/busy256/validation"
    config.data.rows, config.data.length, config.data.auxiliary = 32, 160, 256
    return config


def _asked(config):
    config.init_from = "runs/fine_seeing"
    config.steps = 500
    config.data.datasets, config.evaluation.dataset = ("data/fine256/train",), "data/fine256/validation"
    config.data.rows, config.data.length, config.data.auxiliary = 16, 256, 256
    config.data.recipes.max_questions = 12
    return config


PHASES = {"seeing": _seeing, "asked": _asked}
