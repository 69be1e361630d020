"""A transformer of 1.2 billion parameters for a slice of TPU v5e or one node of H100s, on images and text of one's own.

  ugf prepare 'shards/*.tar' data/coded --tokenize=runs/base_tokenizer --drop_pixels
  ugf train --config=experiments/ugf_1b.py --workdir=runs/ugf_1b

The mesh is what plans found best (`docs/planning.md`): weights are split over 16 chips (128 rows each), and as many groups as
there are share the batch. The rows are those of 256 chips of v5e, one each; elsewhere set `--config.data.rows`, to two rows a
chip on v6e and four on v5p.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(data="data/coded"):
    """20 blocks of width 2048, five cross-attentions, 256 rows of 2,048 tokens with up to 4,096 auxiliary codes each."""
    config = config_dict(Settings())
    config.steps = 100_000
    config.log_every = 50
    config.mesh.data, config.mesh.fsdp = -1, 16

    config.data.datasets = (data + "/train",)
    config.data.rows, config.data.length, config.data.auxiliary, config.data.pairs = 256, 2048, 4096, 8
    config.evaluation.dataset = data + "/validation"
    config.evaluation.every = 2000
    config.evaluation.limit = 2048
    config.evaluation.batch_size = 256
    config.checkpoint.every = 1000

    config.vocabulary.text, config.vocabulary.codes = 49_152, 15_360
    model = config.model
    model.width, model.depth, model.heads, model.kv_heads, model.hidden = 2048, 20, 16, 8, 5632
    model.cross_every, model.grid, model.tied, model.embedding = 4, 16, True, 512
    model.memory.width, model.memory.heads, model.memory.depth = 1024, 8, 2
    model.memory.codes, model.memory.fsq_levels = 15_360, (8, 8, 8, 6, 5)
    model.dtype = "bfloat16"
    config.objective.logits_chunk = 256

    config.optimizer.learning_rate = 3e-4
    config.optimizer.warmup_steps = 2000
    config.optimizer.weight_decay = 0.1
    return config
