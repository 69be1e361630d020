"""A transformer of 7 billion parameters for pod slices of TPU v5p, one or several of them, on images and text of one's own.

  ugf plan --config=experiments/ugf_7b.py --topology=v5p:8x8x8
  ugf prepare 'shards/*.tar' gs://bucket/coded --tokenize=gs://bucket/runs/base --drop_pixels
  ugf train --config=experiments/ugf_7b.py:gs://bucket/coded --workdir=gs://bucket/runs/ugf_7b --distributed

The mesh is that of 512 chips: weights are split over 32 of them (128 rows each, of the memory's 32), and sixteen such groups
share the batch, two rows a chip. Several slices are joined along `data`, so that between them pass gradients only; there set
`--config.data.rows` to two rows a chip again. What plans say of it is in `docs/planning.md`.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(data="data/coded"):
    """32 blocks of width 4096, four cross-attentions, 1,024 rows of 2,048 tokens with up to 4,096 auxiliary codes each."""
    config = config_dict(Settings())
    config.steps = 480_000  # a trillion tokens
    config.log_every = 50
    config.mesh.data, config.mesh.fsdp = -1, 32

    config.data.datasets = (data + "/train",)
    config.data.rows, config.data.length, config.data.auxiliary, config.data.pairs = 1024, 2048, 4096, 8
    config.evaluation.dataset = data + "/validation"
    config.evaluation.every = 2000
    config.evaluation.limit = 4096
    config.evaluation.batch_size = 512
    config.checkpoint.every = 500

    config.vocabulary.text, config.vocabulary.codes = 49_152, 15_360
    model = config.model
    model.width, model.depth, model.heads, model.kv_heads, model.hidden = 4096, 32, 32, 8, 13_312
    model.cross_every, model.grid, model.tied, model.embedding = 8, 16, True, 1024
    model.memory.width, model.memory.heads, model.memory.depth = 1024, 8, 2
    model.memory.codes, model.memory.fsq_levels = 15_360, (8, 8, 8, 6, 5)
    model.dtype = "bfloat16"
    config.objective.logits_chunk = 256

    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup_steps = 2000
    config.optimizer.weight_decay = 0.1
    return config
