"""The unified stage: every objective alone, learnt from one batch, the same on any mesh."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.data.document_loader import DocumentSettings
from ugf_jax.data.documents import CODE, TEXT
from ugf_jax.data.recipes import RecipeSettings, TaskWeights
from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.memory import MemorySettings
from ugf_jax.training import sharding, trainer
from ugf_jax.training.optimizer import OptimizerSettings, make_optimizer
from ugf_jax.training.settings import EvaluationSettings
from ugf_jax.training.sharding import MeshSettings
from ugf_jax.training.stages import unified
from ugf_jax.training.state import init_state, make_step
from ugf_jax.training.terms import check_terms

CODES = {"master": 20, "grid": 2, "auxiliary": 9, "groups": 2, "levels": 1, "largest": 3}
WORDS = VocabularySettings(text=TextTokenizer.load().size, sizes=8, codes=20)
COLOURS = ("red", "green", "blue", "pink", "black", "white", "brown", "cyan")


def record(i):
    rng = np.random.default_rng(i)
    codes = ImageCodes(rng.integers(0, 20, (2, 2)), (rng.integers(0, 9, (2, 3, 2)),), (np.ones((2, 3), bool),), (32, 48))
    colour = COLOURS[i % len(COLOURS)]
    questions = ({"question": "What colour?", "answer": colour, "kind": "colour"},)
    return Record(f"{i:03d}", (), ((32, 48),), (f"a {colour} thing {i}",), questions=questions, codes=(codes,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents") / "coded"
    write_dataset(folder, [record(i) for i in range(96)], 1, {"transform": {"digest": "one", "codes": CODES}})
    return str(folder)


def make(folder, objective=None, **model):
    tasks = TaskWeights(generate=2.0, caption=1.0, question=1.0, conversation=0.0, text=0.0, contrastive=2.0)
    size = {"width": 32, "depth": 2, "heads": 2, "cross_every": 1, "grid": 2, "embedding": 16, "gate": 0.5}
    return unified.Settings(
        steps=300,
        data=DocumentSettings(
            datasets=(folder,),
            rows=8,
            length=64,
            auxiliary=24,
            pairs=2,
            threads=1,
            recipes=RecipeSettings(tasks=tasks, caption_dropout=0.0, memory_dropout=0.0),
        ),
        vocabulary=WORDS,
        model=FusionSettings(**{**size, "memory": MemorySettings(width=16, groups=2, codes=9), **model}),
        objective=objective or unified.UnifiedObjective(),
        optimizer=OptimizerSettings(learning_rate=6e-3, warmup_steps=10, weight_decay=0.0),
        evaluation=EvaluationSettings(dataset=folder, limit=8, batch_size=8),
    )


def batches(settings, count=2):
    return [b.arrays for b in itertools.islice(unified.data(settings).open(0, 1).iterate(), count)]


def start(settings, mesh, optimizer):
    """The state of a fresh run on `mesh`."""
    stage = unified.build(settings)
    loader = unified.data(settings).open(0, 1)
    specs = trainer.batch_specs(loader, loader.buckets[0], mesh)

    def init(key, batch):
        return init_state(stage, optimizer, False, key, batch)

    abstract = trainer.abstract_state(init, specs, stage, settings, mesh)
    return stage, trainer.initial_state(init, specs, abstract, settings.seed)


def run(settings, steps, arrays, devices=1, **axes):
    """Metrics of each step on the same batch, and the parameters after the last."""
    mesh = sharding.make_mesh(MeshSettings(**axes), jax.devices()[:devices])
    optimizer = make_optimizer(settings.optimizer, settings.steps)
    with jax.set_mesh(mesh):
        stage, state = start(settings, mesh, optimizer)
        step = jax.jit(make_step(stage, optimizer), donate_argnums=0)
        batch, found = sharding.to_global(arrays, mesh), []
        for _ in range(steps):
            state, metrics = step(state, batch)
            found.append(metrics)
        return jax.device_get(found), jax.device_get(state.params)


def test_one_batch_is_learnt_by_heart(folder):
    settings = make(folder)
    found, _ = run(settings, 200, batches(settings)[0])
    first, last = found[0], found[-1]
    assert first["loss/text"] > 5
    assert first["loss/image"] > 5
    assert last["loss/text"] < 0.1 * first["loss/text"]
    assert last["loss/image"] < 0.05 * first["loss/image"]
    assert last["accuracy/image"] > 0.98
    assert last["loss/contrastive"] < 0.5 * first["loss/contrastive"]


def test_one_device_and_eight_take_the_same_steps(folder):
    settings = make(folder)
    settings = dataclasses.replace(settings, optimizer=dataclasses.replace(settings.optimizer, eps=1e-3))
    arrays = batches(settings)[0]
    one, params = run(settings, 4, arrays)
    eight, other_params = run(settings, 4, arrays, devices=8, data=2, fsdp=2, tensor=2)
    for a, b in zip(one, eight, strict=True):
        for name in ("loss", "loss/text", "loss/image", "loss/contrastive"):
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-4), name
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other_params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_skipping_what_is_not_trained_changes_no_step(folder):
    settings = make(folder)
    skipping = make(folder, unified.UnifiedObjective(logits_chunk=4, skip_untrained=True))
    arrays = batches(settings)[0]
    for a, b in zip(run(settings, 3, arrays)[0], run(skipping, 3, arrays, devices=4, data=2, fsdp=2)[0], strict=True):
        for name in ("loss", "loss/text", "loss/image", "loss/z", "accuracy/text", "gradient_norm"):
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-3), name


def test_weights_mark_the_tokens_that_are_predicted(folder):
    arrays = batches(make(folder))[0]
    weights = unified.kinds(jax.tree.map(jnp.asarray, arrays))
    targets = arrays["kinds"][:, 1:]
    np.testing.assert_array_equal(weights["text"], targets == TEXT)
    np.testing.assert_array_equal(weights["image"], targets == CODE)
    first = np.diff(arrays["segments"], axis=1) != 0  # a document's first token is nobody's prediction
    assert not (np.asarray(weights["text"] + weights["image"]) * first).any()


def test_evaluation_and_training_measure_alike(folder):
    settings = make(folder)
    mesh = sharding.make_mesh(MeshSettings(), jax.devices()[:1])
    with jax.set_mesh(mesh):
        stage, state = start(settings, mesh, make_optimizer(settings.optimizer, settings.steps))
        batch = sharding.to_global(next(iter(unified.data(settings).held_out(0, 1))).arrays, mesh)
        measured = jax.device_get(jax.jit(stage.evaluate)(state.params, {}, batch))
        _, (_, metrics) = jax.jit(stage.loss)(state.params, {}, batch, state.key, state.step)
    for name in ("text", "image"):
        values, weights = measured[f"nll/{name}"]
        assert (values * weights).sum() / weights.sum() == pytest.approx(float(metrics[f"loss/{name}"]), rel=1e-5)
    assert measured["retrieval"][1].sum() == float(metrics["contrastive/pairs"])


def test_all_objectives_are_alive_and_a_dead_one_is_named(folder):
    settings = make(folder)
    mesh = sharding.make_mesh(MeshSettings(), jax.devices()[:1])
    with jax.set_mesh(mesh):
        stage, state = start(settings, mesh, make_optimizer(settings.optimizer, settings.steps))
        data = [sharding.to_global(b, mesh) for b in batches(settings)]
        alive = check_terms(stage, state, data)
        assert set(alive) == {"text", "image", "z", "contrastive"}
        silent = [b | {"kinds": jnp.where(b["kinds"] == CODE, 0, b["kinds"])} for b in data]
        with pytest.raises(InputError, match=r"objective 'image' is 0 .* set config\.objective\.image to 0"):
            check_terms(stage, state, silent)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"grid": 3}, "config.model.grid is 3; the data's images have 2 master codes a side"),
        ({"memory": MemorySettings(width=16, groups=4, codes=9)}, "config.model.memory.groups is 4; .* codes have 2"),
        ({"memory": MemorySettings(width=16, groups=2, codes=8)}, "config.model.memory.codes is 8; .* codes have 9"),
    ],
)
def test_a_model_for_other_codes_is_refused(folder, model, message):
    with pytest.raises(InputError, match=message):
        unified.data(make(folder, **model)).open(0, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": {"contrastive": 0.0}}, r"objective\.contrastive is 0\.0 and .*tasks\.contrastive 1\.0"),
        ({"model": {"embedding": 0}}, r"config\.model\.embedding is 0"),
        ({"objective": {"skip_untrained": True}}, r"skips chunks; want config\.objective\.logits_chunk more than 0"),
    ],
)
def test_objectives_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        config.parse(unified.Settings, values)
