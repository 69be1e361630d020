"""Two layers for sixteen chips: the smallest config whose plan has everything in it."""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config():
    """Sixteen rows, one a chip."""
    config = config_dict(Settings())
    config.mesh.data, config.mesh.fsdp = 2, 8
    config.data.rows, config.data.length, config.data.auxiliary, config.data.pairs = 16, 512, 512, 2
    config.vocabulary.text, config.vocabulary.codes = 14_336, 1000
    model = config.model
    model.width, model.depth, model.heads, model.kv_heads, model.hidden, model.cross_every = 512, 2, 4, 4, 1024, 2
    model.memory.width, model.memory.heads, model.memory.codes, model.memory.fsq_levels = 256, 2, 1000, (8, 5, 5, 5)
    model.dtype, model.tied, model.remat = "bfloat16", True, True
    config.objective.logits_chunk = 256
    return config
