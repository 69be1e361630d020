"""The tokenizers of the model that ships with the package: drawn scenes and clipart, in 64 master codes.

  ugf prepare aligned:12000 data/aligned
  ugf prepare crowd:4000 data/crowd
  ugf prepare shapes:8000 data/shapes
  ugf prepare clipart data/clipart
  ugf train --config=experiments/small_tokenizer.py:codes --workdir=runs/small_codes
  ugf train --config=experiments/small_tokenizer.py --workdir=runs/small_tokenizer

A master code is one of 32 colours and one of 256 masks, which say where in its patch the colour is: what a shape is is then one
pattern of masks whatever its colour, and a small transformer learns to draw it from few pictures. First the colours and masks
are learned, in five minutes; they are all that what is drawn with needs to be coded. Then they stay, and the decoder learns
what edges they stand for. Four auxiliary codes for each 16×16 pixels add what it cannot know.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.tokenizer import Settings


def get_config(phase="decoder"):
    """About 3 million parameters in the master and 1.5 million in the auxiliary."""
    config = config_dict(Settings())
    config.log_every = 50

    config.data.datasets = tuple(f"data/{name}/train" for name in ("aligned", "crowd", "shapes", "clipart"))
    config.data.weights = (0.4, 0.2, 0.3, 0.1)
    config.data.scales = ((192, 16),)  # the auxiliary is local: what it learns at 192 holds at any size
    # Few buckets: each is a compilation. The master's square is the same however a picture is stretched; cut, what stands on
    # its grid would stand there no more.
    config.data.max_stretch = 0.35
    config.data.max_crop = 0.0
    config.evaluation.dataset = "data/aligned/validation"
    config.evaluation.every = 200
    config.evaluation.limit = 64
    config.evaluation.batch_size = 16
    config.checkpoint.every = 200

    master, auxiliary = config.model.master, config.model.auxiliary
    master.size, master.patch, master.width, master.depth, master.heads = 192, 24, 192, 4, 6
    master.encoder, master.quantizer.kind, master.quantizer.levels = "coverage", "product", (32, 256)
    auxiliary.width, auxiliary.depth, auxiliary.heads, auxiliary.window = 128, 2, 4, 8
    auxiliary.groups = 4
    auxiliary.quantizer.levels = (8, 5, 5, 5)
    auxiliary.master_corruption, auxiliary.dropout, auxiliary.sparsity = 0.05, 0.05, 0.0
    for weights in (config.objective.master, config.objective.auxiliary):
        weights.l1, weights.l2, weights.gradient, weights.laplacian, weights.ms_ssim = 1.0, 2.0, 0.5, 0.0, 0.0

    config.optimizer.kind = "muon"  # half the steps of AdamW to the same loss
    config.optimizer.learning_rate = 1.5e-3
    config.optimizer.warmup_steps = 100
    if phase not in PHASES:
        raise ValueError(f"small_tokenizer.py:{phase}: no such phase; want one of {', '.join(PHASES)}")
    return PHASES[phase](config)


def _codes(config):
    config.data.weights = (0.7, 0.15, 0.1, 0.05)  # every outline on the grid needs masks of its own
    config.steps = 300
    config.model.master.quantizer.decay = 0.97
    config.optimizer.schedule = "constant"
    return config


def _decoder(config):
    config.init_from = "runs/small_codes"
    config.steps = 1500
    config.model.master.quantizer.decay, config.model.master.quantizer.restart = 1.0, 0.0  # nothing moves any more
    config.optimizer.final_fraction = 0.02
    config.optimizer.ema_decay = 0.998
    return config


PHASES = {"codes": _codes, "decoder": _decoder}
