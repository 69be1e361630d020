"""Both tokenizers on clipart at native resolution, for one GPU or a few hours of CPU.

  ugf prepare clipart data/clipart
  ugf train --config=experiments/clipart_tokenizer.py --workdir=runs/clipart

Buckets at scales 256 and 512 stretch and cut images by at most 5 % each; an image goes to the scale of its own size. Trained
in bfloat16 with float32 state, an average of the parameters, and all robustness of the auxiliary tokenizer: corrupted master
codes, dropped and sparse auxiliary codes.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.tokenizer import Settings


def get_config(data="data/clipart"):
    """About 20 million parameters a tokenizer."""
    config = config_dict(Settings())
    config.steps = 20_000
    config.log_every = 50

    config.data.datasets = (data + "/train",)
    config.data.scales = ((256, 32), (512, 8))
    config.data.flip = True
    config.evaluation.dataset = data + "/validation"
    config.evaluation.every = 1000
    config.evaluation.limit = 96
    config.checkpoint.every = 1000

    config.model.dtype = "bfloat16"
    config.model.master.width, config.model.master.depth, config.model.master.heads = 384, 6, 6
    config.model.auxiliary.width, config.model.auxiliary.depth, config.model.auxiliary.heads = 384, 6, 6

    config.optimizer.learning_rate = 6e-4
    config.optimizer.warmup_steps = 500
    config.optimizer.ema_decay = 0.999
    return config
