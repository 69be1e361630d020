r"""What is auxiliary memory worth? Questions about fine details, learnt from the small model on, with memory or without.

  ugf prepare fine:3000@256 data/fine256 --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.15
  ugf prepare fine:1000@1024 data/fine1024 --tokenize=runs/small_tokenizer --drop_pixels --scales=1024 --max_stretch=0.15
  ugf train --config=experiments/fine_questions.py:data/fine256 --workdir=runs/fine256
  ugf train --config=experiments/fine_questions.py:data/fine256 --workdir=runs/fine256_blind \
      --config.data.recipes.memory_dropout=1
  ugf train --config=experiments/fine_questions.py:data/fine1024 --workdir=runs/fine1024 --config.data.auxiliary=4400

Evaluated with `ugf evaluate --tasks=understanding`, the blind one with --nomemory. Letters, thin outlines and dots are smaller
than a master code can tell; a model without memory can only guess. All runs begin with fresh cross-attentions.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(data="data/fine256"):
    """The small model, trained on from its own parameters."""
    config = config_dict(Settings())
    config.init_from, config.init_except = "runs/small_longer", "^memory/|^layers/(cross|gate)"
    config.steps = 500
    config.log_every = 20

    config.data.datasets = (data + "/train",)
    config.data.rows = 16
    config.data.length = 256
    config.data.auxiliary = 512
    config.data.pairs = 0
    config.data.recipes.max_questions = 12
    config.data.recipes.memory_dropout = 0.0
    tasks = config.data.recipes.tasks
    tasks.generate = tasks.caption = tasks.conversation = tasks.text = tasks.contrastive = 0.0
    tasks.question = 1.0
    config.objective.logits_chunk, config.objective.skip_untrained = 16, True
    config.objective.image = config.objective.contrastive = 0.0
    config.evaluation.dataset = data + "/validation"
    config.evaluation.every = 100
    config.evaluation.limit = 64
    config.evaluation.batch_size = 16
    config.checkpoint.every = 200

    model = config.model  # that of experiments/small_unified.py
    model.width, model.depth, model.heads, model.cross_every, model.gate = 128, 4, 4, 2, 0.1
    model.grid, model.cell_places, model.prompt_mean, model.tied, model.embedding = 8, True, True, True, 128
    model.memory.width, model.memory.groups, model.memory.codes = 64, 4, 1000
    model.memory.fsq_levels = (8, 5, 5, 5)
    model.code_levels, model.code_rows, config.vocabulary.codes = (32, 256), "product", 32 * 256

    config.optimizer.kind = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 20
    config.optimizer.final_fraction = 0.05
    config.optimizer.ema_decay = 0.99
    return config
