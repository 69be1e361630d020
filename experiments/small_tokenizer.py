"""The tokenizers of the model that ships with the package: drawn shapes and clipart, in 256 master codes.

  ugf prepare shapes:24000 data/shapes
  ugf prepare clipart data/clipart
  ugf train --config=experiments/small_tokenizer.py --workdir=runs/small_tokenizer

A master code is the mean colour of its patch: a small transformer learns what to draw from a fifth of the images that learned
codes take, and a decoder turns the mosaic into edges. Four auxiliary codes for each 16×16 pixels add what it cannot know.
Auxiliary training sees a few wrong master codes, as the transformer will sometimes draw them.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.tokenizer import Settings


def get_config(data="data"):
    """About 2 million parameters in the master and 1.5 million in the auxiliary."""
    config = config_dict(Settings())
    config.steps = 800
    config.log_every = 50

    config.data.datasets = (data + "/shapes/train", data + "/clipart/train")
    config.data.weights = (0.85, 0.15)
    config.data.scales = ((192, 16),)  # the auxiliary is local: what it learns at 192 holds at any size
    config.data.max_stretch = 0.15  # few buckets: each is a compilation
    config.data.max_crop = 0.15
    config.evaluation.dataset = data + "/shapes/validation"
    config.evaluation.every = 200
    config.evaluation.limit = 64
    config.evaluation.batch_size = 16
    config.checkpoint.every = 200

    master, auxiliary = config.model.master, config.model.auxiliary
    master.size, master.patch, master.width, master.depth, master.heads = 192, 12, 192, 4, 6
    master.encoder, master.quantizer.levels = "mean", (10, 10, 10)
    auxiliary.width, auxiliary.depth, auxiliary.heads, auxiliary.window = 128, 2, 4, 8
    auxiliary.groups = 4
    auxiliary.quantizer.levels = (8, 5, 5, 5)
    auxiliary.master_corruption, auxiliary.dropout, auxiliary.sparsity = 0.05, 0.05, 0.0
    for weights in (config.objective.master, config.objective.auxiliary):
        weights.l1, weights.l2, weights.gradient, weights.laplacian, weights.ms_ssim = 1.0, 2.0, 0.5, 0.0, 0.0

    config.optimizer.kind = "muon"  # half the steps of AdamW to the same loss
    config.optimizer.learning_rate = 1.5e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.final_fraction = 0.02
    config.optimizer.ema_decay = 0.998
    return config
