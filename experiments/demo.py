"""First leg of `make demo`: both tokenizers on drawn shapes and real clipart, small enough for three minutes of two CPU cores.

Three buckets at scale 192 take every image up to 1:2.5 with some stretch; the master codes 192×192 squashes in 12×12 codes, the
auxiliary tokenizer codes the rest in four codes for each 16×16 pixels. Evaluation afterwards is at native resolution. So short
a training has no use for the hardening of the auxiliary tokenizer (corrupted and dropped codes), so it is off.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.tokenizer import Settings


def get_config(root="runs/demo"):
    """About 1.4 million parameters."""
    config = config_dict(Settings())
    config.steps = 500
    config.log_every = 20

    config.data.datasets = (root + "/data/shapes/train", root + "/data/clipart/train")
    config.data.scales = ((192, 16),)
    config.data.max_stretch = 0.3  # few buckets: each is a compilation, and the demo has minutes
    config.data.max_crop = 0.3
    config.evaluation.dataset = root + "/data/shapes/validation"
    config.evaluation.every = 125
    config.evaluation.limit = 48
    config.evaluation.batch_size = 16
    config.checkpoint.every = 125

    master, auxiliary = config.model.master, config.model.auxiliary
    master.size, master.patch, master.width, master.depth, master.heads = 192, 16, 128, 2, 4
    auxiliary.width, auxiliary.depth, auxiliary.heads, auxiliary.window, auxiliary.groups = 96, 2, 4, 8, 4
    master.quantizer.levels = auxiliary.quantizer.levels = (8, 5, 5, 5)
    auxiliary.master_corruption = auxiliary.dropout = 0.0
    for weights in (config.objective.master, config.objective.auxiliary):
        weights.l1, weights.l2, weights.gradient, weights.laplacian, weights.ms_ssim = 1.0, 2.0, 0.5, 0.0, 0.0

    config.optimizer.kind = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 20
    config.optimizer.final_fraction = 0.05
    return config
