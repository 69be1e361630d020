"""UniToken, stage II: everything learns, to understand images and to draw them.

  ugf train --config=experiments/unitoken_stage2.py --workdir=runs/unitoken_stage2 --config.init_from=runs/unitoken_stage1

10 million documents of understanding and 10 million of generation, one epoch of 128 a batch: 156,250 steps. The tower's patch
and position embeddings stay. Unlike the original, a tenth of the drawn images come without their prompt, for guidance; 0 is
the original.

Mesh and what blocks keep for the backward pass are what plans found good on 64 chips of TPU v5p (`docs/planning.md`). With
fewer than 16 devices set `--config.mesh.fsdp`; where memory is short, `--config.model.remat_keep=nothing` and
`--config.optimizer.accumulate`.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.optimizer import GroupSettings
from ugf_jax.training.stages.unitoken import Settings

DOCUMENTS = 20_000_000


def get_config(records="data/unitoken/stage2.jsonl"):
    """About 7.5 billion parameters, as many of them trained as the docstring of this file says."""
    config = config_dict(Settings())
    config.data.datasets = (records,)
    config.data.caption_dropout = 0.1
    config.steps = DOCUMENTS // config.data.rows
    config.model.dropout = 0.05

    optimizer = config.optimizer
    optimizer.learning_rate, optimizer.final_fraction = 1e-5, 0.0
    optimizer.warmup_steps = config.steps // 100  # 0.01 epochs
    optimizer.b1, optimizer.b2, optimizer.weight_decay, optimizer.decay_all = 0.9, 0.95, 0.1, True
    optimizer.clip_norm, optimizer.clip_together = 4.0, True
    optimizer.groups = {
        r"^vision/(embed|positions)": config_dict(GroupSettings(learning_rate_scale=0.0)),
    }
    config.mesh.data, config.mesh.fsdp = -1, 16
    config.model.remat_keep = "both"
    config.objective.logits_chunk = 256
    return config
