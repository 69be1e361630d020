"""The reward stage: it starts from what a model has learnt, learns what is preferred, and nothing from noise."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from ugf_jax import config
from ugf_jax.data.preference_loader import PreferenceSettings
from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.memory import MemorySettings
from ugf_jax.training import sharding, trainer
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.frozen import abstract_params
from ugf_jax.training.frozen_reward import load_reward
from ugf_jax.training.optimizer import OptimizerSettings, make_optimizer
from ugf_jax.training.reward_model import DESCRIPTION, DRAWING, SIMILARITY
from ugf_jax.training.settings import CheckpointSettings, EvaluationSettings
from ugf_jax.training.sharding import MeshSettings
from ugf_jax.training.stages import reward, unified
from ugf_jax.training.state import init_state, make_step

CODES = {"master": 20, "grid": 2, "auxiliary": 9, "groups": 2, "levels": 1, "largest": 3}
TEXT = TextTokenizer.load()
WORDS = VocabularySettings(text=TEXT.size, sizes=8, codes=20)
MODEL = FusionSettings(
    width=32, depth=2, heads=2, cross_every=1, grid=2, embedding=8, gate=0.5, memory=MemorySettings(width=16, groups=2, codes=9)
)


def record(i, rule=True):
    """Four images of one prompt that differ in details only; the first two, of high codes, are preferred to the others.

    Without the rule two of the four pairs go the other way, whichever they are.
    """
    rng = np.random.default_rng(i)
    master = rng.integers(0, 20, (2, 2))
    details = [rng.integers(5, 9, (2, 3, 2)) if n < 2 else rng.integers(0, 4, (2, 3, 2)) for n in range(4)]
    codes = tuple(ImageCodes(master, (detail,), (np.ones((2, 3), bool),), (32, 48)) for detail in details)
    right = np.ones(4, bool) if rule else rng.permutation([True, True, False, False])
    pairs = tuple((a, b, 1.0) if right[a + 2 * (b - 2)] else (b, a, 1.0) for a in (0, 1) for b in (2, 3))
    return Record(f"{i:03d}", (), ((32, 48),) * 4, (f"thing number {i}",), codes=codes, pairs=pairs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Datasets with and without a rule, and a run of stage `unified` to start from."""
    root = tmp_path_factory.mktemp("reward")
    made = {"transform": {"digest": "one", "codes": CODES}}
    write_dataset(root / "train", [record(i) for i in range(64)], 1, made)
    write_dataset(root / "random", [record(i, rule=False) for i in range(64)], 1, made)
    write_dataset(root / "held_out", [record(i) for i in range(100, 116)], 1, made)
    write_dataset(root / "foreign", [record(i) for i in (0, 1)], 1, {"transform": {"digest": "two", "codes": CODES}})
    write_dataset(
        root / "other", [record(i) for i in (0, 1)], 1, {"transform": {"digest": "one", "codes": CODES | {"groups": 3}}}
    )
    settings = unified.Settings(vocabulary=WORDS, model=MODEL, optimizer=OptimizerSettings(ema_decay=0.5))
    rng = np.random.default_rng(0)
    average = jax.tree.map(lambda x: jax.device_put(0.2 * rng.standard_normal(x.shape, np.float32)), abstract_params(settings))
    data = {"codes": {"tokenizer": "one", "buckets": []}, "text_tokenizer": TEXT.digest}
    with Checkpointer(root / "unified" / "checkpoints") as checkpoints:
        checkpoints.save(7, {"ema": average}, {"config": config.to_json(settings), "data": data})
    return root


def make(folder, dataset="train", **changes):
    values = {
        "steps": 100,
        "model": str(folder / "unified"),
        "data": PreferenceSettings(datasets=(str(folder / dataset),), pairs=8, length=72, auxiliary=12, threads=1),
        "optimizer": OptimizerSettings(learning_rate=6e-3, warmup_steps=5, weight_decay=0.0),
        "evaluation": EvaluationSettings(dataset=str(folder / "held_out"), limit=64, batch_size=32),
    }
    return reward.Settings(**(values | changes))


def start(settings, mesh, optimizer):
    """Stage and state of a fresh run on `mesh`, with the parameters that it starts from."""
    stage, loader = reward.build(settings), reward.data(settings).open(0, 1)
    specs = trainer.batch_specs(loader, loader.buckets[0], mesh)

    def init(key, batch):
        return init_state(stage, optimizer, False, key, batch)

    abstract = trainer.abstract_state(init, specs, stage, settings, mesh)
    state = trainer.initial_state(init, specs, abstract, settings.seed)
    return stage, trainer.start_from(state, stage.pretrained(abstract.params))


@pytest.fixture(scope="module")
def fresh(folder):
    """Stage, a step of it that any run of these shapes may take, and a function that makes its state; all on one device."""
    settings = make(folder)
    mesh = sharding.make_mesh(MeshSettings(), jax.devices()[:1])
    optimizer = make_optimizer(settings.optimizer, settings.steps)
    with jax.set_mesh(mesh):
        stage, state = start(settings, mesh, optimizer)
        step = jax.jit(make_step(stage, optimizer))
    return stage, step, state, jax.jit(stage.evaluate)


def batches(settings, count):
    return [jax.tree.map(jnp.asarray, b.arrays) for b in itertools.islice(reward.data(settings).open(0, 1).iterate(), count)]


def knowing_nothing(params):
    return {**params, **dict.fromkeys(("similarity", "description", "drawing"), jnp.zeros(()))}


def learn(fresh, arrays):
    _, step, state, _ = fresh
    # What a model of noise knows agrees with a rule or with its opposite; the head is to learn it.
    state, losses = state.replace(params=knowing_nothing(state.params)), []
    for batch in arrays:
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    return state.params, losses


def held_out(fresh, params, settings):
    """The measures over all held-out pairs, put together as the evaluator does."""
    stage, _, _, evaluate = fresh
    totals = {}
    for batch in reward.data(settings).held_out(0, 1):
        for name, (values, weights) in jax.device_get(evaluate(params, {}, batch.arrays)).items():
            totals[name] = totals.get(name, 0) + np.array([np.sum(values * weights), np.sum(weights)])
    return {name: total / weight for name, (total, weight) in totals.items() if weight} | stage.derive(totals)


def test_a_fresh_model_knows_images_and_its_head_prefers_none(folder, fresh):
    _, _, state, _ = fresh
    assert set(state.params) == {"fusion", "score", "similarity", "description", "drawing"}
    assert [state.params[name] for name in ("similarity", "description", "drawing")] == [SIMILARITY, DESCRIPTION, DRAWING]
    assert not np.any(state.params["score"])
    learnt = abstract_params(unified.Settings(vocabulary=WORDS, model=MODEL))
    assert set(learnt) == set(state.params["fusion"])
    for part in (state.params["fusion"]["head"], state.params["fusion"]["embed"]["embedding"]):
        assert float(jnp.std(part)) == pytest.approx(0.2, rel=0.02)  # as trained; init's are smaller
    found = held_out(fresh, knowing_nothing(state.params), make(folder))
    assert found["accuracy/pairs"] == found["accuracy/prompts"] == 0.5
    assert found["loss/preference"] == pytest.approx(np.log(2), rel=1e-5)
    assert found["calibration/error"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences(folder, fresh):
    stage, _, state, _ = fresh
    rng = np.random.default_rng(0)
    params = {**state.params, "score": jnp.asarray(rng.normal(size=32), jnp.float32) / 8}
    batch = batches(make(folder), 1)[0] | {"weights": jnp.asarray(rng.random(8), jnp.float32)}

    @jax.jit
    def value_and_grad(params):
        return jax.value_and_grad(lambda p: stage.loss(p, {}, batch, jax.random.key(0), 0)[0])(params)

    gradient = value_and_grad(params)[1]
    for part in ("score", "similarity", "description", "drawing", "fusion"):
        direction = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), params[part])
        values = [
            value_and_grad({**params, part: jax.tree.map(lambda p, d, h=h: p + h * d, params[part], direction)})[0]
            for h in (2e-3, -2e-3)
        ]
        slope = sum(np.sum(g * d) for g, d in zip(jax.tree.leaves(gradient[part]), jax.tree.leaves(direction), strict=True))
        assert float(slope) == pytest.approx(float(values[0] - values[1]) / 4e-3, rel=0.03, abs=2e-3), part


def test_one_batch_is_learnt_by_heart(folder, fresh):
    """Also where every label is a coin's."""
    _, losses = learn(fresh, batches(make(folder, "random"), 1) * 100)
    assert losses[-1] < 0.02


def test_a_rule_is_found_in_the_details_and_noise_teaches_nothing(folder, fresh):
    settings, control = make(folder), make(folder, "random")
    found = held_out(fresh, learn(fresh, batches(settings, 60))[0], settings)
    assert found["accuracy/prompts"] > 0.95
    assert found["loss/preference"] < 0.3
    assert found["calibration/bins/0.95_right"] > 0.95
    unlearnt = held_out(fresh, learn(fresh, batches(control, 60))[0], control)
    assert unlearnt["loss/preference"] > 0.66
    assert 0.2 < unlearnt["accuracy/prompts"] < 0.8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "foreign"}, "coded by another image tokenizer than the data that config.model was trained on"),
        ({"dataset": "other"}, "codes with groups 3; config.model was trained on groups 2"),
        ({"model": ""}, "config.model is empty"),
        ({"model": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_what_does_not_belong_together_is_refused(folder, changes, message):
    with pytest.raises(InputError, match=message):
        reward.data(make(folder, **changes)).open(0, 1)


def test_the_right_parts_are_objectives_and_axes(folder, fresh):
    stage, _, state, _ = fresh
    assert set(jax.eval_shape(stage.terms, state.params, {}, batches(make(folder), 1)[0], jax.random.key(0))) == {"preference"}
    mesh = sharding.make_mesh(MeshSettings(data=1, fsdp=4, tensor=2))
    specs = sharding.tree_shardings(state.params, stage.parameter_axes, MeshSettings().rules, mesh)
    assert specs["score"].spec == jax.P("fsdp")


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped_and_is_read_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "make_mesh", functools.partial(sharding.make_mesh, devices=jax.devices()[:1]))
    settings = make(
        folder,
        steps=6,
        dropout=0.1,
        optimizer=OptimizerSettings(learning_rate=3e-3, schedule="constant", warmup_steps=0, ema_decay=0.5),
        checkpoint=CheckpointSettings(every=3, keep=5),
    )

    def train(name, settings):
        summary = trainer.train(settings, reward.build(settings), reward.data(settings), epath.Path(tmp_path / name))
        return summary, load_reward(tmp_path / name)

    whole, frozen = train("whole", settings)
    assert {"accuracy/prompts", "calibration/error"} <= set(whole["validation"])
    train("parts", dataclasses.replace(settings, steps=3))
    parts, again = train("parts", settings)
    assert parts["validation"] == whole["validation"]
    jax.tree.map(np.testing.assert_array_equal, again.params, frozen.params)
    assert (frozen.step, frozen.codes, frozen.details, frozen.length) == (6, "one", True, 72)
    assert frozen.settings.width == 32
    assert frozen.vocabulary == WORDS


@pytest.mark.slow
def test_one_device_and_eight_take_the_same_steps(folder):
    settings = make(folder, optimizer=OptimizerSettings(learning_rate=3e-3, warmup_steps=0, eps=1e-3))
    results = []
    for devices, axes in ((1, {}), (8, {"data": 2, "fsdp": 2, "tensor": 2})):
        mesh = sharding.make_mesh(MeshSettings(**axes), jax.devices()[:devices])
        optimizer = make_optimizer(settings.optimizer, settings.steps)
        with jax.set_mesh(mesh):
            stage, state = start(settings, mesh, optimizer)
            step = jax.jit(make_step(stage, optimizer))
            for batch in itertools.islice(reward.data(settings).open(0, 1).iterate(), 4):
                state, metrics = step(state, sharding.to_global(batch.arrays, mesh))
            results.append(jax.device_get((metrics["loss"], state.params)))
    assert float(results[0][0]) == pytest.approx(float(results[1][0]), rel=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), results[0][1], results[1][1])
