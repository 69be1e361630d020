"""The transformer of the model that ships with the package: draws, describes and answers questions about simple scenes.

  ugf prepare aligned:20000 data/draw --tokenize=runs/small_codes --drop_pixels --scales=256 --max_stretch=0.05 --keep=0
  ugf train --config=experiments/small_unified.py:drawing --workdir=runs/small_drawing
  ugf prepare aligned:40000 data/coded/aligned --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.05
    --keep=0
  ugf prepare shapes:9000 data/coded/shapes --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.05
  ugf prepare clipart data/coded/clipart --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.15
  ugf train --config=experiments/small_unified.py --workdir=runs/small_unified
  ugf train --config=experiments/small_unified.py:longer --workdir=runs/small_longer
  ugf train --config=experiments/small_unified.py:looking --workdir=runs/small_looking
  ugf prepare busy:8000 data/busy256 --tokenize=runs/small_tokenizer --drop_pixels --scales=256 --max_stretch=0.15
  ugf train --config=experiments/fine_questions.py:seeing --workdir=runs/fine_seeing
  ugf train --config=experiments/small_unified.py:seeing --workdir=runs/small_seeing

First it learns drawing alone. Most codes of a picture are background, so that all a caption says of it is worth a fiftieth of
the loss. Beside questions and contrastive pairs, whose gradients are larger and come from few tokens, that is not learnt. Then
it learns everything, with smaller weights for text and pairs. It draws scenes on the grid of the codes, whose outlines are
few; it is asked about those and about scenes whose objects stand anywhere, in which it can look at auxiliary codes. Two more
phases are about what is asked. From answers of a word the look at auxiliary codes is not learnt:
`fine_questions.py:seeing` gives it a fresh memory, whose positions see their neighbours, and lets it say what is where in
pictures full of objects and nothing else. It forgets the rest, which the last phase brings back within a few hundred steps.
"""

from ugf_jax.config import config_dict
from ugf_jax.training.stages.unified import Settings


def get_config(phase="everything"):
    """About 2.4 million parameters, half of them embeddings: on two CPU cores more pictures teach more than a larger model."""
    config = config_dict(Settings())
    config.log_every = 20

    config.data.rows = 16
    config.data.length = 256
    config.data.pairs = 1
    config.data.recipes.caption_dropout = 0.1
    config.data.recipes.fullest = 0.4  # few captions name places
    config.objective.z = 1e-4
    config.evaluation.every = 400
    config.evaluation.limit = 64
    config.evaluation.batch_size = 16
    config.checkpoint.every = 200

    model = config.model
    model.width, model.depth, model.heads, model.cross_every = 128, 4, 4, 2
    model.grid, model.cell_places, model.prompt_mean, model.tied, model.embedding = 8, True, True, True, 128
    model.memory.width, model.memory.groups, model.memory.codes = 64, 4, 1000
    model.memory.fsq_levels = (8, 5, 5, 5)
    # Colours and masks: what is learnt of a shape in one colour holds in those in which it was never seen.
    model.code_levels, model.code_rows, config.vocabulary.codes = (32, 256), "product", 32 * 256

    config.optimizer.kind = "muon"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.weight_decay = 0.05
    if phase not in PHASES:
        raise ValueError(f"small_unified.py:{phase}: no such phase; want one of {', '.join(PHASES)}")
    return PHASES[phase](config)


def _drawing(config):
    config.steps = 4000
    config.data.datasets = ("data/draw/train",)
    config.evaluation.dataset = "data/draw/validation"
    config.data.auxiliary = config.data.recipes.auxiliary = 0  # nothing is looked at
    tasks = config.data.recipes.tasks
    tasks.caption = tasks.question = tasks.conversation = tasks.text = tasks.contrastive = 0.0
    config.objective.contrastive = 0.0
    config.optimizer.schedule = "constant"  # the next phase lowers it
    config.optimizer.ema_decay = 0.99
    return config


def _everything(config):
    config.init_from = "runs/small_drawing"
    config.steps = 1000
    config.data.datasets = tuple(f"data/coded/{name}/train" for name in ("aligned", "shapes", "clipart"))
    config.data.weights = (0.64, 0.34, 0.02)
    config.data.serves = ("generate+caption+question+contrastive", "caption+question+contrastive", "generate")
    config.evaluation.dataset = "data/coded/shapes/validation"
    config.data.auxiliary = 512
    tasks = config.data.recipes.tasks
    tasks.generate, tasks.caption, tasks.question, tasks.conversation, tasks.text = 9.0, 0.3, 2.5, 0.0, 0.0
    tasks.contrastive = 1.5
    config.objective.text, config.objective.contrastive = 0.3, 0.1
    config.optimizer.final_fraction = 0.05
    config.optimizer.ema_decay = 0.998
    return config


def _longer(config):
    """On from there, with more about what is asked and found: drawing is ahead of them by then."""
    config = _everything(config)
    config.init_from = "runs/small_unified"
    config.steps = 3200
    config.data.pairs = 2
    tasks = config.data.recipes.tasks
    tasks.generate, tasks.caption, tasks.question, tasks.contrastive = 9.0, 0.6, 4.0, 3.0
    config.objective.text, config.objective.contrastive = 0.5, 0.2
    return config


def _looking(config):
    """On from there, looking at auxiliary codes anew, and much is asked of every picture."""
    config = _longer(config)
    config.init_from, config.init_except = "runs/small_longer", "^memory/|^layers/(cross|gate)"
    config.steps = 2200
    config.data.weights = (0.7, 0.28, 0.02)
    config.data.recipes.max_questions = 12
    config.objective.logits_chunk, config.objective.skip_untrained = 16, True
    tasks = config.data.recipes.tasks
    tasks.generate, tasks.caption, tasks.question, tasks.contrastive = 6.0, 0.3, 2.0, 1.5
    return config


def _seeing(config):
    """On from a model that looks at its memory and forgot the rest; the pictures that taught it to look stay in the mix."""
    config = _looking(config)
    config.init_from, config.init_except = "runs/fine_seeing", ""
    config.steps = 2000
    config.model.memory.width, config.model.memory.depth = 96, 2
    config.data.datasets += ("data/busy256/train",)
    config.data.weights = (0.5, 0.28, 0.02, 0.2)
    config.data.serves += ("question",)
    config.data.recipes.tasks.contrastive = 2.5
    return config


PHASES = {"drawing": _drawing, "everything": _everything, "longer": _longer, "looking": _looking, "seeing": _seeing}
