"""UniToken, stage I: a vision tower and its adapter learn to speak to a transformer that stays as it is.

  ugf import Lumina-mGPT-7B-512 models/unitoken_start --vision=siglip-so400m-patch14-384
  ugf train --config=experiments/unitoken_stage1.py --workdir=runs/unitoken_stage1 --config.init_from=models/unitoken_start

2.5 million captions, one epoch of 128 a batch: 19,531 steps. The tower learns at a hundredth of the rate (at a half it
collapses); its patch and position embeddings stay.

Mesh and what blocks keep for the backward pass are what plans found good on 64 chips of TPU v5p (`docs/planning.md`). With
fewer than 16 devices set `--config.mesh.fsdp`; where memory is short, `--config.model.remat_keep=nothing` and
`--config.optimizer.accumulate`.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.optimizer import GroupSettings
from ugf_jax.training.stages.unitoken import Settings

DOCUMENTS = 2_500_000


def get_config(records="data/unitoken/stage1.jsonl"):
    """About 7.5 billion parameters, as many of them trained as the docstring of this file says."""
    config = config_dict(Settings())
    config.data.datasets = (records,)
    config.steps = DOCUMENTS // config.data.rows
    config.model.dropout = 0.05

    optimizer = config.optimizer
    optimizer.learning_rate, optimizer.final_fraction = 1e-3, 0.0
    optimizer.warmup_steps = config.steps // 100  # 0.01 epochs
    optimizer.b1, optimizer.b2, optimizer.weight_decay, optimizer.decay_all = 0.9, 0.95, 0.1, True
    optimizer.clip_norm, optimizer.clip_together = 4.0, True
    optimizer.groups = {
        r"^vision/(embed|positions)": config_dict(GroupSettings(learning_rate_scale=0.0)),
        r"^vision/(blocks|norm)": config_dict(GroupSettings(learning_rate_scale=0.01)),
        r"^(embed|layers|norm|head)(/|$)": config_dict(GroupSettings(learning_rate_scale=0.0)),
    }
    config.mesh.data, config.mesh.fsdp = -1, 16
    config.model.remat_keep = "both"
    config.objective.image = 0.0  # captions only: nothing is drawn
    config.objective.logits_chunk = 256
    return config
