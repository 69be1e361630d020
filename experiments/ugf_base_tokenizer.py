"""Both tokenizers at pod scale: a 256×256 master, an auxiliary tokenizer with three levels up to scale 1024.

  ugf train --config=experiments/ugf_base_tokenizer.py:gs://bucket/images --workdir=gs://bucket/runs/base --distributed

An image of scale 1024 is coded as 256 → 512 → 1024, each level the residual of the level below; dropping the finer levels
still gives the whole picture, coarser. Batches hold about as many pixels at every scale. The discriminator starts late, when
the reconstruction losses have done what they can. The batch is that of 64 chips of TPU v5e, each with all parameters
(`docs/planning.md`): at scale 1024 one image a chip.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.optimizer import GroupSettings
from ugf_jax.training.stages.tokenizer import Settings


def get_config(data="data/images"):
    """About 110 million parameters a tokenizer."""
    config = config_dict(Settings())
    config.steps = 500_000
    config.log_every = 100
    config.mesh.data, config.mesh.fsdp = -1, 1

    config.data.datasets = (data + "/train",)
    config.data.scales = ((256, 1024), (512, 256), (1024, 64))
    config.data.min_bucket_images = 10_000
    config.data.patch = 64  # levels are halves and quarters of a bucket, all of them whole patches
    config.data.max_stretch = config.data.max_crop = 0.1
    config.data.flip = True
    config.evaluation.dataset = data + "/validation"
    config.evaluation.every = 10_000
    config.evaluation.limit = 2048
    config.evaluation.batch_size = 64
    config.checkpoint.every = 2_000
    config.checkpoint.keep_every = 50_000

    config.model.dtype = "bfloat16"
    config.model.remat = True
    for part in (config.model.master, config.model.auxiliary):
        part.width, part.depth, part.heads = 768, 8, 12
    config.model.auxiliary.levels = 3

    config.objective.adversarial.weight = 0.1
    config.objective.adversarial.start_step = 50_000
    config.optimizer.learning_rate = 3e-4
    config.optimizer.warmup_steps = 5_000
    config.optimizer.weight_decay = 0.05
    config.optimizer.ema_decay = 0.9999
    config.optimizer.groups.discriminator = config_dict(GroupSettings(learning_rate_scale=0.5, weight_decay=0.0, b1=0.5))
    return config
