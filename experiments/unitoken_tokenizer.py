"""An image tokenizer whose master codes are Chameleon's, with auxiliary codes of its own: what UniToken with memory looks at.

  ugf import chameleon/vqgan.safetensors runs/chameleon_vqgan --text_tokenizer=UniToken-AnyRes-StageII/tokenizer.json
  ugf train --config=experiments/unitoken_tokenizer.py --workdir=runs/unitoken_tokenizer --config.init_from=runs/chameleon_vqgan

The master stays as it is, so that its codes are those that UniToken knows; the auxiliary tokenizer learns what it misses at
scales up to 1024.
"""

from ugf_jax.config import config_dict
from ugf_jax.models.vqgan import VQGANSettings
from ugf_jax.training.optimizer import GroupSettings
from ugf_jax.training.stages.tokenizer import Settings


def get_config(data="data/images"):
    """About 68 million parameters in the master, 50 million in the auxiliary."""
    config = config_dict(Settings())
    config.steps = 100_000
    config.data.datasets = (data + "/train",)
    config.data.scales = ((512, 64), (1024, 16))
    config.data.max_stretch = config.data.max_crop = 0.1
    config.evaluation.dataset = data + "/validation"

    master = config.model.master
    master.kind, master.size, master.vqgan = "vqgan", 512, config_dict(VQGANSettings())
    master.quantizer.kind, master.quantizer.size, master.quantizer.features = "vq", 8192, 256
    master.quantizer.decay, master.quantizer.restart = 1.0, 0.0  # its codes do not move
    config.objective.master_weight = config.objective.quantizer_weight = 0.0

    config.optimizer.learning_rate, config.optimizer.warmup_steps = 3e-4, 2_000
    config.optimizer.groups = {r"^tokenizer/master/": config_dict(GroupSettings(learning_rate_scale=0.0))}
    config.mesh.data, config.mesh.fsdp = -1, 1
    return config
