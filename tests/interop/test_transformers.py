"""What models of `transformers` compute is computed here, from the same files, within 1e-5 in float32.

The files and what is expected of them are in tests/fixtures/interop, made by tests/fixtures/make_transformers.py. Slow tests
make new ones: they need PyTorch and transformers, the extra [hf], here or in the environment of the interpreter that
UGF_HF_PYTHON names.
"""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from ugf_jax.data.documents import Layout
from ugf_jax.generation.generate_tokens import GenerationSettings, TokenGenerator
from ugf_jax.generation.requests import Request
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.interop import tower
from ugf_jax.interop.exporting import export_hf
from ugf_jax.interop.importing import import_model, new_params
from ugf_jax.interop.mapping import check, load
from ugf_jax.interop.plan import Additions, plan_import
from ugf_jax.interop.source import open_source
from ugf_jax.models.fusion import FusionTransformer, Tokens
from ugf_jax.models.vision import VisionTower
from ugf_jax.training.bundle import load_bundle
from ugf_jax.training.digests import named_leaves

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "interop"
TRUNKS = [f"{kind}-{n}" for kind in ("llama", "qwen2", "qwen3", "chameleon") for n in range(3)]
TOWERS = [f"{kind}-{n}" for kind in ("siglip", "siglip2") for n in range(3)]
ATOL, PROMPT = 1e-5, 8
SCRIPT = pathlib.Path(__file__).parent.parent / "fixtures" / "make_transformers.py"
SEED = 1000


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


def imported(name):
    """Plan and parameters of a model without additions."""
    plan = plan_import(open_source(FOLDER / name), Additions(1, 1, None, embedding=0))
    values = values_of(plan)
    assert values.keys() == plan.shapes.keys()
    return plan, nested(values)["fusion"]


def values_of(plan):
    (part,) = plan.parts
    return load(part.source, part.mapping, plan.shapes, part.ignored)


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
    source, expected = open_source(FOLDER / name), expected_of(name)
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
        plan = plan_import(open_source(FOLDER / name))
        assert plan.what.startswith(what)
        plan.check()
        assert bool(plan.new) == (name != "chameleon-0")  # a text model gets memory; Chameleon stays as it is


def test_a_tower_of_its_own_is_joined_to_a_text_model():
    seen = open_source(FOLDER / "siglip-1")
    plan = plan_import(open_source(FOLDER / "llama-0"), vision=seen)
    plan.check()
    assert plan.settings.model.vision.heads == 5
    assert {name.split("/")[1] for name in plan.new} >= {"adapter", "memory"}
    part = plan.parts[1]
    check(part.source, part.mapping, plan.shapes, part.ignored)


def reference(*arguments):
    python = os.environ.get("UGF_HF_PYTHON", sys.executable)
    found = subprocess.run([python, SCRIPT, *map(str, arguments)], capture_output=True, text=True)
    assert found.returncode == 0, f"{python} needs PyTorch and transformers: pip install ugf-jax[hf]\n{found.stderr[-2000:]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("live") / "models"
    reference(out, SEED)
    return out


@pytest.fixture
def elsewhere(folder, monkeypatch):
    monkeypatch.setitem(globals(), "FOLDER", folder)


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", TRUNKS)
def test_logits_of_new_weights(name):
    test_logits_of_a_trunk_and_64_greedy_tokens(name)


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", TOWERS)
def test_features_of_new_weights(name):
    test_features_of_a_tower_on_its_own_and_on_another_grid(name)


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_unitoken_with_new_weights():
    test_unitoken_is_a_trunk_a_tower_and_an_adapter()


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", [name for name in TRUNKS if not name.startswith("chameleon")])
def test_cached_decoding_chooses_the_same_64_tokens(name):
    plan = plan_import(open_source(FOLDER / name))
    model, words = plan.settings.model, plan.settings.vocabulary
    values = values_of(plan) | new_params(plan, 0)
    params = nested(values)["fusion"]
    ids = expected_of(name)["ids"][0]
    prompt = Layout(words).text(ids[:8].tolist()).document("caption")
    how = GenerationSettings(text=SamplingSettings(temperature=0.0))
    made = TokenGenerator(model, words, params).generate([Request(prompt, 0)], how, "text", limit=64)
    np.testing.assert_array_equal(made.row(0), ids[8:])


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", TRUNKS)
def test_transformers_loads_what_is_exported(folder, tmp_path, name):
    (folder / name / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    import_model(plan_import(open_source(folder / name)), tmp_path / name)
    assert load_bundle(tmp_path / name).settings.imported
    out = tmp_path / f"{name}-hf"
    export_hf(tmp_path / name, out)
    expected = safetensors.numpy.load_file(folder / name / "expected.safetensors")
    safetensors.numpy.save_file({"ids": expected["ids"]}, out / "ids.safetensors")
    reference("--logits", out)
    found = safetensors.numpy.load_file(out / "logits.safetensors")["logits"]
    np.testing.assert_allclose(found, expected["logits"], atol=1e-5, rtol=0)
