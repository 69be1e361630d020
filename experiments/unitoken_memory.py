"""The two designs joined: an imported UniToken that looks into auxiliary memory too, and is trained on.

  ugf prepare conversations.json data/unitoken/coded --tokenize=runs/unitoken_tokenizer
  ugf import UniToken-AnyRes-StageII models/joined --memory --memory_width=1024 --image_tokenizer=runs/unitoken_tokenizer
  ugf train --config=experiments/unitoken_memory.py --workdir=runs/unitoken_memory --config.init_from=models/joined

A gated cross-attention before every fourth block; what it adds starts at zero, so that the first step computes what UniToken
does. What is new learns at ten times the rate of the rest. `runs/unitoken_tokenizer` codes images with Chameleon's master codes
and auxiliary codes of its own; experiments/unitoken_tokenizer.py makes it.

Mesh and what blocks keep for the backward pass are what plans found good on 64 chips of TPU v5p (`docs/planning.md`). With
fewer than 16 devices set `--config.mesh.fsdp`; where memory is short, `--config.model.remat_keep=nothing` and
`--config.optimizer.accumulate`.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.optimizer import GroupSettings
from ugf_jax.training.stages.unitoken import Settings


def get_config(coded="data/unitoken/coded"):
    """About 8 billion parameters."""
    config = config_dict(Settings())
    config.steps = 10_000
    config.data.datasets, config.data.text_tokenizer = (coded,), "models/joined/tokenizer.json"
    config.data.auxiliary, config.data.groups = 4096, 4
    config.data.caption_dropout = 0.1
    config.model.cross_every = 4
    config.model.memory.width, config.model.memory.codes, config.model.memory.groups = 1024, 15_360, 4

    optimizer = config.optimizer
    optimizer.learning_rate, optimizer.warmup_steps, optimizer.final_fraction = 1e-4, 500, 0.0
    optimizer.weight_decay, optimizer.clip_norm, optimizer.clip_together = 0.1, 4.0, True
    optimizer.groups = {
        r"^vision/(embed|positions)": config_dict(GroupSettings(learning_rate_scale=0.0)),
        r"^(embed|norm|head|adapter|vision/blocks|vision/norm|layers/block_\d+)(/|$)": config_dict(
            GroupSettings(learning_rate_scale=0.1)
        ),
    }
    config.mesh.data, config.mesh.fsdp = -1, 16
    config.model.remat_keep = "both"
    config.objective.logits_chunk = 256
    return config
