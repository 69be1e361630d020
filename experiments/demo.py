"""Both tokenizers on the embedded clipart, small enough for two CPU cores: what `make demo` trains.

Five buckets at scale 256 take every image up to 1:4; the master codes 256×256 squashes in 16×16 codes, the auxiliary
tokenizer codes the rest in four codes for each 16×16 pixels. Evaluation afterwards is at native resolution, up to 512 pixels.
So short a training has no use for the hardening of the auxiliary tokenizer (corrupted and dropped codes), so it is off.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.tokenizer import Settings


def get_config(root="runs/demo"):
    """About 1.4 million parameters a tokenizer."""
    config = config_dict(Settings())
    config.steps = 800
    config.log_every = 20

    config.data.datasets = (root + "/data/train",)
    config.data.scales = ((256, 8),)
    config.data.max_stretch = 0.15  # five buckets instead of fifteen: each is a compilation, and the demo has minutes
    config.data.max_crop = 0.15
    config.evaluation.dataset = root + "/data/validation"
    config.evaluation.every = 200
    config.evaluation.items = 48
    config.evaluation.batch_size = 8
    config.checkpoint.every = 200

    for part in (config.model.master, config.model.auxiliary):
        part.width, part.depth, part.heads, part.window = 128, 2, 4, 8
    config.model.auxiliary.groups = 4
    for weights in (config.objective.master, config.objective.auxiliary):
        weights.l1, weights.l2, weights.gradient, weights.laplacian, weights.ms_ssim = 1.0, 2.0, 0.5, 0.0, 0.0
    config.model.auxiliary.master_corruption = 0.0
    config.model.auxiliary.dropout = 0.0

    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 20
    config.optimizer.final_fraction = 0.05
    return config
