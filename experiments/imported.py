"""A language model that was imported learns to read images and to draw them.

  ugf import Llama-3.2-1B models/llama --image_tokenizer=runs/base
  ugf prepare 'images/*.tar' data/imported --tokenize=runs/base --drop_pixels --text_tokenizer=models/llama/tokenizer.json
  ugf train --config=experiments/imported.py:models/llama --workdir=runs/llama

Sizes, ids and the text tokenizer are the model's own. What it could do before learns at a tenth of the rate of what is new.
Without the name of a model: the sizes of the default.
"""

import pathlib

from ugf_jax.config import config_dict
from ugf_jax.training.bundle import TEXT, read_settings
from ugf_jax.training.optimizer import GroupSettings
from ugf_jax.training.stages.unified import Settings


def get_config(model=""):
    """As many parameters as the model has, and those of auxiliary memory."""
    config = config_dict(Settings())
    if model:
        known = read_settings(model)
        config.init_from = model
        config.model, config.vocabulary = config_dict(known.model), config_dict(known.vocabulary)
        config.data.text_tokenizer = str(pathlib.Path(model) / TEXT)
    config.model.dtype, config.model.remat = "bfloat16", True
    config.steps = 100_000
    config.data.datasets = ("data/imported",)
    config.data.rows, config.data.length, config.data.auxiliary, config.data.pairs = 256, 2048, 8192, 8
    if not config.model.embedding:
        config.data.recipes.tasks.contrastive = config.objective.contrastive = 0.0
    config.objective.logits_chunk = 256

    optimizer = config.optimizer
    optimizer.learning_rate, optimizer.warmup_steps, optimizer.weight_decay = 3e-4, 2_000, 0.1
    optimizer.groups = {r"^(norm|head|layers/block_\d+)(/|$)": config_dict(GroupSettings(learning_rate_scale=0.1))}
    config.mesh.data, config.mesh.fsdp = 1, -1
    return config
