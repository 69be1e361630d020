"""Stages begin also from models that do not exist yet; their programs are lowered as the trainer would."""

import jax
import pytest

from ugf_jax.config import config_dict
from ugf_jax.errors import InputError
from ugf_jax.feedback.rlhf.settings import Settings as PolicySettings
from ugf_jax.planning.batches import batch_specs
from ugf_jax.planning.begin import begin
from ugf_jax.planning.model_flops import step_flops
from ugf_jax.planning.programs import lay_out, tokens_and_images
from ugf_jax.planning.sweep import defaults
from ugf_jax.planning.topology import parse_topology
from ugf_jax.training import sharding
from ugf_jax.training.stages import detail, reward, tokenizer, unified, unitoken


@pytest.fixture(scope="module")
def transformer():
    values = config_dict(unified.Settings())
    values.vocabulary.text, values.vocabulary.codes, values.vocabulary.sizes = 300, 16, 8
    model = values.model
    model.width, model.depth, model.heads, model.cross_every, model.grid = 16, 2, 2, 1, 2
    model.memory.width, model.memory.groups, model.memory.codes, model.memory.heads = 8, 2, 16, 2
    return values


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(sharding.MeshSettings(data=2, fsdp=2), jax.devices()[:4])


def test_reward_begins_from_a_config(transformer, mesh):
    values = config_dict(reward.Settings())
    values.data.pairs, values.data.length, values.data.auxiliary = 4, 32, 8
    found = begin(values, transformer)
    assert found.start.model.width == 16
    shape, _ = batch_specs(found.settings, found.start.model)["aux_codes"]
    assert shape == (4, 2, 8, 2)
    assert tokens_and_images(
        found, {"tokens": jax.ShapeDtypeStruct((4, 2, 32), int), "weights": jax.ShapeDtypeStruct((4,), float)}
    )


def test_detail_begins_from_a_config():
    found = begin(config_dict(detail.Settings()), config_dict(tokenizer.Settings()))
    specs = batch_specs(found.settings)
    assert specs["image"][0][0] == dict(found.settings.data.scales)[256]


def test_unitoken_has_the_crops_of_its_tower_in_its_batches(mesh):
    values = config_dict(unitoken.Settings())
    values.data.rows, values.data.length, values.mesh.fsdp = 4, 64, 4
    model, vision = values.model, values.model.vision
    model.width, model.depth, model.heads, model.hidden = 16, 2, 2, 32
    vision.image_size, vision.patch, vision.width, vision.depth, vision.heads, vision.hidden = 28, 14, 16, 1, 2, 16
    values.data.vision.size, values.data.vision.patch, values.data.vision.pinpoints = 28, 14, ((28, 28),)
    found = begin(values)
    specs = batch_specs(found.settings)
    assert specs["crops"][0] == (4, found.settings.data.crops, 28, 28, 3)
    assert specs["tokens"][0] == specs["features"][0] == (4, 64)
    with jax.set_mesh(mesh):
        planned = lay_out(found, mesh)
        assert "crops" in planned.programs[0].arguments["batch"]
        assert tokens_and_images(found, planned.batch) == (4 * 64, 0)
        flops = step_flops(found, planned.state, planned.batch)
        values.data.length = 128
        longer = lay_out(begin(values), mesh)
    assert 1.2 < step_flops(begin(values), longer.state, longer.batch) / flops < 2.5
    assert dict(defaults(values, parse_topology("v5e:4x4")))["data.rows"] == [16, 32, 64]


def test_what_does_not_go_together_is_said(transformer):
    with pytest.raises(InputError, match=r"of stage 'unified'; .* of stage 'detail' wants 'tokenizer'"):
        begin(config_dict(detail.Settings()), transformer)
    with pytest.raises(InputError, match="stage 'unified' starts from nothing"):
        begin(transformer, transformer)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "grpo", "dpo"])
def test_rollout_and_update_are_lowered(transformer, mesh, algorithm):
    values = config_dict(PolicySettings())
    values.algorithm = algorithm
    values.prompts.count, values.prompts.length, values.prompts.source = 4, 16, "shapes:train"
    values.sampler.samples, values.updates.minibatches = 4, 2
    values.data.pairs, values.data.length, values.data.auxiliary = 4, 32, 8
    values.mesh.data, values.mesh.fsdp = 2, 2
    found = begin(values, transformer)
    with jax.set_mesh(mesh):
        planned = lay_out(found, mesh)
        texts = {one.name: one.lower().as_text() for one in planned.programs}
    assert set(texts) == ({"update"} if algorithm == "dpo" else {"rollout", "update"})
    assert "while" in texts.get("rollout", "while")
    for one in planned.programs:
        assert "reference" in one.arguments
