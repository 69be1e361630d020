"""UniToken, stage III: instructions, of good data only.

  ugf train --config=experiments/unitoken_stage3.py --workdir=runs/unitoken_stage3 --config.init_from=runs/unitoken_stage2

423 thousand conversations and 100 thousand images to draw, one epoch of 128 a batch: 4,085 steps. Everything learns but the
tower's patch and position embeddings.

Mesh and what blocks keep for the backward pass are what plans found good on 64 chips of TPU v5p (`docs/planning.md`). With
fewer than 16 devices set `--config.mesh.fsdp`; where memory is short, `--config.model.remat_keep=nothing` and
`--config.optimizer.accumulate`.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.optimizer import GroupSettings
from ugf_jax.training.stages.unitoken import Settings

DOCUMENTS = 523_000


def get_config(records="data/unitoken/stage3.jsonl"):
    """About 7.5 billion parameters, as many of them trained as the docstring of this file says."""
    config = config_dict(Settings())
    config.data.datasets = (records,)
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
