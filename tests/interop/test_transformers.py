"""What models of `transformers` compute is computed here, from the same files, within 1e-5 in float32.

The files and what is expected of them are in tests/fixtures/interop, made by tests/fixtures/make_transformers.py.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from ugf_jax.interop import tower
from ugf_jax.interop.mapping import check, load
from ugf_jax.interop.plan import Additions, plan_import
from ugf_jax.interop.source import open_source
from ugf_jax.models.fusion import FusionTransformer, Tokens
from ugf_jax.models.vision import VisionTower
from ugf_jax.training.digests import named_leaves

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "interop"
TRUNKS = [f"{kind}-{n}" for kind in ("llama", "qwen2", "qwen3", "chameleon") for n in range(3)]
TOWERS = [f"{kind}-{n}" for kind in ("siglip", "siglip2") for n in range(3)]
ATOL, PROMPT = 1e-5, 8


def expected_of(name):
    return safetensors.numpy.load_file(FOLDER / name / "expected.safetensors")


def nested(values):
    tree = {}
    for name, value in values.items():
        *path, last = name.split("/")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return tree


def imported(name, additions=None):
    """Plan and parameters of a model without additions."""
    plan = plan_import(open_source(FOLDER / name / "model.safetensors"), additions or Additions(1, 1, None, embedding=0))
    (part,) = plan.parts
    values = load(part.source, part.mapping, plan.shapes, part.ignored)
    assert values.keys() == plan.shapes.keys()
    return plan, nested(values)["fusion"]


def row(ids):
    ids = jnp.asarray(ids, jnp.int32)
    positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
    return Tokens(ids, jnp.ones_like(ids), positions, jnp.full_like(ids, -1))


@pytest.mark.parametrize("name", TRUNKS)
def test_logits_of_a_trunk_and_64_greedy_tokens(name):
    expected = expected_of(name)
    plan, params = imported(name)
    model = FusionTransformer(plan.settings.model, plan.settings.vocabulary.total)

    def run(params, tokens):
        return model.apply({"params": params}, model.apply({"params": params}, tokens), method="logits")

    found = np.asarray(jax.jit(run)(params, row(expected["ids"])))
    count = expected["logits"].shape[-1]
    np.testing.assert_allclose(found[..., :count], expected["logits"], atol=ATOL, rtol=0)
    # Every token after the prompt is the likeliest one after those before it: greedy decoding gives these 64.
    np.testing.assert_array_equal(found[0, PROMPT - 1 : -1].argmax(-1), expected["ids"][0, PROMPT:])
    assert expected["ids"].shape[1] == PROMPT + 64
    if count < found.shape[-1]:  # the new ids: as likely as an id is on average
        mean = np.broadcast_to(found[..., :count].mean(-1, keepdims=True), found[..., count:].shape)
        np.testing.assert_allclose(found[..., count:], mean, atol=1e-4)


@pytest.mark.parametrize("name", TOWERS)
def test_features_of_a_tower_on_its_own_and_on_another_grid(name):
    source, expected = open_source(FOLDER / name / "model.safetensors"), expected_of(name)
    prefix = tower.tower_prefix(source)
    settings = tower.tower_settings(source, prefix)
    model, mapping = VisionTower(settings), tower.tower_mapping(settings, prefix)
    image = expected["own_image"]
    abstract = jax.eval_shape(lambda: model.init(jax.random.key(0), image))["params"]
    shapes = {target: x.shape for target, x in named_leaves(abstract).items()}
    params = nested(load(source, mapping, shapes, tower.tower_ignored(prefix)))
    assert mapping.keys() == shapes.keys()
    for size in ("own", "other"):
        found = jax.jit(model.apply)({"params": params}, expected[f"{size}_image"])
        features = expected[f"{size}_features"]
        np.testing.assert_allclose(found.reshape(features.shape), features, atol=ATOL, rtol=0)


def test_unitoken_is_a_trunk_a_tower_and_an_adapter():
    expected = expected_of("unitoken-0")
    plan, params = imported("unitoken-0")
    assert plan.what.startswith("UniToken, 2 layers of width 24")
    model = FusionTransformer(plan.settings.model, plan.settings.vocabulary.total)
    count = expected["own_features"].shape[1]
    ids = np.repeat(expected["ids"], 2, axis=0)
    ids = np.concatenate([ids[:, :5], np.zeros((2, count), np.int64), ids[:, 5:]], axis=1)
    sources = np.full(ids.shape, -1, np.int32)
    sources[:, 5 : 5 + count] = np.arange(count)

    @jax.jit
    def run(params, tokens, image):
        seen = model.apply({"params": params}, image[:, None], jnp.asarray(sources), method="see")
        hidden = model.apply({"params": params}, tokens, None, seen)
        return model.apply({"params": params}, hidden, method="logits")

    np.testing.assert_allclose(run(params, row(ids), expected["own_image"]), expected["mixed_logits"], atol=ATOL, rtol=0)


def test_each_family_is_told_from_its_files_and_nothing_is_left_over():
    names = {"llama-0": "Llama,", "qwen2-0": "Qwen 2.5,", "qwen3-0": "Qwen 3,", "chameleon-0": "Chameleon,"}
    for name, what in names.items():
        plan = plan_import(open_source(FOLDER / name / "model.safetensors"))
        assert plan.what.startswith(what)
        plan.check()
        assert bool(plan.new) == (name != "chameleon-0")  # a text model gets memory; Chameleon stays as it is


def test_a_tower_of_its_own_is_joined_to_a_text_model():
    seen = open_source(FOLDER / "siglip-1" / "model.safetensors")
    plan = plan_import(open_source(FOLDER / "llama-0" / "model.safetensors"), vision=seen)
    plan.check()
    assert plan.settings.model.vision.heads == 5
    assert {name.split("/")[1] for name in plan.new} >= {"adapter", "memory"}
    part = plan.parts[1]
    check(part.source, part.mapping, plan.shapes, part.ignored)
