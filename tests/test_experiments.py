"""Every shipped config is accepted as it is, and its model and buckets can be built."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import pytest

from ugf_jax import config
from ugf_jax.data.buckets import make_buckets
from ugf_jax.models.tokenizer import level_sizes
from ugf_jax.training import stages

EXPERIMENTS = sorted((pathlib.Path(__file__).parent.parent / "experiments").glob("*.py"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_config_describes_a_run(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = module.get_config()
    stage_type = stages.find(values.stage)
    settings = config.parse(stage_type.settings, values)
    stage = stage_type.build(settings)
    auxiliary = settings.model.auxiliary
    for bucket in make_buckets(settings.data.bucket_settings):
        finest = level_sizes(bucket.height, bucket.width, auxiliary.levels, auxiliary.patch)[-1]
        assert finest == (bucket.height, bucket.width)
    batch = {"image": jax.ShapeDtypeStruct((1, bucket.height, bucket.width, 3), jnp.uint8)}
    params, _ = jax.eval_shape(stage.init, jax.eval_shape(lambda: jax.random.key(0)), batch)
    millions = sum(x.size for x in jax.tree.leaves(params)) / 1e6
    assert 1 < millions < 300
    assert module.__doc__
