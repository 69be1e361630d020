"""Every shipped config is accepted as it is, and its model and buckets can be built."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.data.buckets import make_buckets
from ugf_jax.data.collate import row_specs
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.tokenizer import DualTokenizer, TokenizerSettings, level_sizes
from ugf_jax.training import stages
from ugf_jax.training.frozen import FrozenTokenizer
from ugf_jax.training.pretrained import Pretrained

FOLDER = pathlib.Path(__file__).parent.parent / "experiments"
EXPERIMENTS = [(path.name, ()) for path in sorted(FOLDER.glob("*.py"))] + [
    ("small_tokenizer.py", ("codes",)),
    ("small_unified.py", ("drawing",)),
]


@pytest.fixture
def untrained(monkeypatch):
    """A tokenizer and a transformer that were never trained, wherever a config names what it starts from."""
    settings = TokenizerSettings()
    image = jnp.zeros((1, 2 * settings.auxiliary.patch, 2 * settings.auxiliary.patch, 3))
    shapes = jax.eval_shape(lambda: DualTokenizer(settings).init(jax.random.key(0), image))
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    frozen = FrozenTokenizer(settings, variables, 0, {})
    monkeypatch.setattr("ugf_jax.training.stages.detail.find_tokenizer", lambda workdir: frozen)
    start = Pretrained(FusionSettings(width=256, depth=4, heads=4), VocabularySettings(), "", "", 0, lambda abstract: abstract)
    for stage in ("feedback.rlhf.stage", "training.stages.reward"):
        monkeypatch.setattr(f"ugf_jax.{stage}.find_pretrained", lambda folder: start)
    monkeypatch.setattr("ugf_jax.feedback.rlhf.stage.load_bundle", lambda folder: None)
    monkeypatch.setattr("ugf_jax.feedback.rlhf.stage.PictureJudge", lambda *parts: None)


@pytest.mark.parametrize(("name", "arguments"), EXPERIMENTS, ids=str)
def test_config_describes_a_run(name, arguments, untrained):
    spec = importlib.util.spec_from_file_location("experiment", FOLDER / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = module.get_config(*arguments)
    stage_type = stages.find(values.stage)
    settings = config.parse(stage_type.settings, values)
    stage = stage_type.build(settings)
    specs = SPECS.get(settings.stage, image_specs)(settings)
    batch = {name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype) in specs.items()}
    params, _ = jax.eval_shape(stage.init, jax.eval_shape(lambda: jax.random.key(0)), batch)
    millions = sum(x.size for x in jax.tree.leaves(params)) / 1e6
    assert 0.5 < millions < 10_000
    assert module.__doc__


def image_specs(settings):
    """One image of the last bucket; buckets must be sizes that the tokenizer codes as they are."""
    buckets = make_buckets(settings.data.bucket_settings)
    if settings.stage == "tokenizer":
        auxiliary = settings.model.auxiliary
        for bucket in buckets:
            finest = level_sizes(bucket.height, bucket.width, auxiliary.levels, auxiliary.patch)[-1]
            assert finest == (bucket.height, bucket.width)
    return {"image": ((1, buckets[-1].height, buckets[-1].width, 3), jnp.uint8)}


def no_specs(settings):
    """The shapes of parameters follow from the model that a run starts from."""
    return {}


def pair_specs(settings):
    """A pair of rows of `judged_row`."""
    rows = row_specs(RowShape(settings.data.length, settings.data.auxiliary, 1), FusionSettings().memory.groups)
    return {name: ((1, 2, *shape), dtype) for name, (shape, dtype) in rows.items()}


def document_specs(settings):
    """One row of documents."""
    rows = row_specs(settings.data.shape, settings.model.memory.groups)
    return {name: ((1, *shape), dtype) for name, (shape, dtype) in rows.items()}


def unitoken_specs(settings):
    """One row of UniToken's documents, with crops."""
    side = settings.data.vision.size
    rows = row_specs(settings.data.shape, settings.data.groups)
    rows |= {"features": ((settings.data.length,), np.int32), "crops": ((settings.data.crops, side, side, 3), np.uint8)}
    return {name: ((1, *shape), dtype) for name, (shape, dtype) in rows.items()}


SPECS = {"unified": document_specs, "unitoken": unitoken_specs, "reward": pair_specs, "rlhf": no_specs}
