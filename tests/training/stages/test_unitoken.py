"""UniToken's three stages, small: what each trains, that it learns, and memory added to a trained model."""

import dataclasses
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.unitoken.conversation import conversation
from ugf_jax.data.unitoken.layout import Seen
from ugf_jax.data.unitoken.loader import make_row
from ugf_jax.errors import InputError
from ugf_jax.interop.unitoken.memory import add_memory
from ugf_jax.models.memory import MemorySettings
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.optimizer import GroupSettings, make_optimizer
from ugf_jax.training.stages import unitoken
from ugf_jax.training.state import init_state, make_step

EXPERIMENTS = pathlib.Path(__file__).parent.parent.parent.parent / "experiments"
ROWS = 4


class Letters:
    """A text tokenizer of letters: a is 34."""

    def encode(self, text):
        return [34 + ord(c) - ord("a") for c in text]


def experiment(name):
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def tiny(values):
    """The same experiment on a model of a few thousand parameters."""
    values.steps, values.data.rows, values.data.length, values.data.threads = 60, ROWS, 96, 1
    vision, words, model = values.data.vision, values.vocabulary, values.model
    vision.size, vision.patch, vision.pinpoints = 28, 14, ((28, 56), (56, 28))
    words.text, words.sizes, words.codes, words.total = 48, 7, 16, 48
    words.eoi, words.boi, words.sep, words.end, words.newline, words.no_size, words.answer = 20, 21, 22, 23, 24, 25, 33
    model.width, model.depth, model.heads, model.hidden, model.grid = 32, 2, 2, 48, 2
    model.dtype, model.remat, model.dropout = "float32", False, 0.0
    tower = model.vision
    tower.image_size, tower.patch, tower.width, tower.depth, tower.heads, tower.hidden = 28, 14, 16, 1, 2, 24
    tower.dtype, tower.remat = "float32", False
    values.optimizer.learning_rate, values.optimizer.warmup_steps = 1e-2, 1
    values.objective.logits_chunk = 0
    if model.cross_every:
        model.cross_every, model.memory.width, model.memory.heads, model.memory.codes = 1, 16, 2, 9
        values.data.auxiliary = 8
    return config.parse(unitoken.Settings, values)


def documents(settings):
    """Two questions about an image and two requests for one, with memory where there is room for it."""
    rng, other = np.random.default_rng(0), np.random.default_rng(1)  # the same documents, whatever memory they bring
    for i in range(ROWS):
        kept = np.ones((1, 2), bool)
        codes = ImageCodes(
            rng.integers(0, 16, (2, 2)), (other.integers(0, 9, (1, 2, settings.data.groups)),), (kept,), (32, 32)
        )
        seen = Seen(codes, rng.integers(0, 256, (28, 56, 3)).astype(np.uint8))
        turns = [("human", "ab<|image|>"), ("gpt", "abcd"[i])] if i < 2 else [("human", "abcd"[i]), ("gpt", "<|image|>")]
        made = conversation(turns, [seen], Letters(), settings.vocabulary, settings.data.vision)
        yield made if settings.data.auxiliary else dataclasses.replace(made, spans=())


def batch(settings, each=1):
    """The documents, so many in a row."""
    rows = [make_row(own, settings.data, settings.vocabulary.pad) for own in zip(*[documents(settings)] * each, strict=True)]
    return {name: jnp.asarray(np.stack([row[name] for row in rows])) for name in rows[0]}


def train(settings, steps, start=lambda fresh: fresh):
    """Losses of each step, and parameters before and after; `start` changes fresh parameters."""
    stage, optimizer = unitoken.build(settings), make_optimizer(settings.optimizer, settings.steps)
    arrays = batch(settings)
    state = jax.jit(lambda key: init_state(stage, optimizer, False, key, arrays))(jax.random.key(0))
    state = dataclasses.replace(state, params=start(state.params))
    before = named_leaves(jax.device_get(state.params))
    step, losses = jax.jit(make_step(stage, optimizer)), []
    for _ in range(steps):
        state, metrics = step(state, arrays)
        losses.append(float(metrics["loss/text"] + metrics["loss/image"]))
    return losses, before, state.params


def changed(before, after):
    return {name for name, x in named_leaves(jax.device_get(after)).items() if (x != before[name]).any()}


@pytest.fixture(scope="module")
def second():
    """Stage II, trained on one batch."""
    settings = tiny(experiment("unitoken_stage2"))
    return settings, *train(settings, 40)


@pytest.mark.slow
def test_the_first_stage_trains_tower_and_adapter_alone(second):
    """From a trained transformer, as in the original: a fresh one passes nothing on from token to token."""
    values = experiment("unitoken_stage1")
    values.objective.image = 1.0  # the batch here draws, too
    settings = tiny(values)
    losses, before, after = train(settings, 15, lambda fresh: {**second[3], **{n: fresh[n] for n in ("vision", "adapter")}})
    trained = changed(before, after)
    assert {name.split("/")[0] for name in trained} == {"vision", "adapter"}
    assert not any(name.startswith(("vision/embed", "vision/positions")) for name in trained)
    assert losses[-1] < 0.8 * losses[0]


def test_the_second_stage_trains_everything_but_the_towers_embeddings(second):
    _, losses, before, after = second
    frozen = set(before) - changed(before, after)
    assert frozen == {name for name in before if name.startswith(("vision/embed", "vision/positions"))}
    assert losses[-1] < 0.3 * losses[0]


def test_the_third_stage_is_the_second_on_other_data(second):
    third = tiny(experiment("unitoken_stage3"))
    names = ("datasets", "caption_dropout")
    data = dataclasses.replace(third.data, **{name: getattr(second[0].data, name) for name in names})
    assert dataclasses.replace(third, data=data) == second[0]


def test_hyperparameters_are_those_of_the_original():
    for name, rate, tower, documents in (
        ("1", 1e-3, 1e-5, 2_500_000),
        ("2", 1e-5, 1e-5, 20_000_000),
        ("3", 1e-5, 1e-5, 523_000),
    ):
        settings = config.parse(unitoken.Settings, experiment(f"unitoken_stage{name}"))
        optimizer = settings.optimizer
        assert (optimizer.learning_rate, optimizer.b1, optimizer.b2, optimizer.weight_decay) == (rate, 0.9, 0.95, 0.1)
        groups = {r"^vision/(blocks|norm)": GroupSettings()} | optimizer.groups
        scale = groups[r"^vision/(blocks|norm)"].learning_rate_scale
        assert rate * scale == pytest.approx(tower)
        assert (optimizer.clip_norm, optimizer.schedule, optimizer.final_fraction) == (4.0, "cosine", 0.0)
        assert (settings.data.rows, settings.data.length, settings.objective.z, settings.model.dropout) == (
            128,
            4096,
            1e-5,
            0.05,
        )
        assert (settings.objective.joint, settings.objective.text) == (True, 1.0)
        assert settings.objective.image == float(name != "1")  # captions alone draw nothing, and a term without data is refused
        assert settings.steps == documents // 128
        assert optimizer.warmup_steps == settings.steps // 100


def test_documents_of_one_row_have_the_loss_of_documents_of_two(second):
    """Each sees its own features, and nothing of the other."""
    settings, _, _, params = second
    wide = dataclasses.replace(settings, data=dataclasses.replace(settings.data, length=192, images=2))
    stage = unitoken.build(settings)
    loss = jax.jit(lambda arrays: stage.loss(params, {}, arrays, jax.random.key(0), 0)[0])
    alone, packed = batch(settings), batch(wide, each=2)
    assert packed["segments"].max() == 2
    assert float(loss(packed)) == pytest.approx(float(loss(alone)), rel=1e-5)
    swapped = packed | {"crops": packed["crops"][:, ::-1]}  # a control: each sees crops of the other
    assert abs(float(loss(swapped)) / float(loss(alone)) - 1) > 1e-3


def test_memory_is_added_without_a_change_and_then_learnt(second):
    """The two designs joined: a trained UniToken with cross-attention that adds nothing yet, trained on."""
    old_settings, _, _, old = second
    settings = tiny(experiment("unitoken_memory"))
    memory = settings.model.memory
    new_model, params = add_memory(old_settings.model, old, settings.vocabulary.total, memory, settings.model.cross_every)
    assert new_model == settings.model

    def loss(settings, params):
        arrays, stage = batch(settings), unitoken.build(settings)
        return float(jax.jit(lambda params: stage.loss(params, {}, arrays, jax.random.key(0), 0)[0])(params))

    old_loss, new_loss = loss(old_settings, old), loss(settings, params)
    assert new_loss == pytest.approx(old_loss, abs=1e-6)
    assert batch(settings)["aux_segments"].any()

    losses, before, after = train(settings, 24, lambda fresh: params)  # without a warm-up the first steps lose ground
    trained = changed(before, after)
    assert losses[-1] < losses[0]
    assert "layers/gate" in trained
    assert any(name.startswith("memory/") for name in trained)


def test_memory_is_added_once_and_where_it_fits(second):
    settings, _, _, params = second
    with pytest.raises(InputError, match=r"depth is 2; want a multiple of add_memory\.cross_every, 3"):
        add_memory(settings.model, params, 48, MemorySettings(), 3)
    has = dataclasses.replace(settings.model, cross_every=1)
    with pytest.raises(InputError, match="every 1 blocks; want one without"):
        add_memory(has, params, 48, MemorySettings(), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data.vision": None}, "config.data.vision and config.model.vision: one is None"),
        ({"data.vision.size": 56}, "config.data.vision has crops of 56 pixels"),
        ({"data.auxiliary": 8}, "config.data.auxiliary is 8 and config.model.cross_every 0"),
        ({"objective.contrastive": 0.1}, "this stage has no pairs: want 0"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(change, message):
    values = experiment("unitoken_stage2")
    with values.unlocked():
        for path, value in change.items():
            values.update_from_flattened_dict({path: value})
    values.data.datasets = ("x.jsonl",)
    if change.get("data.vision.size"):
        values.data.vision.pinpoints = ()
    with pytest.raises(InputError) as caught:
        config.parse(unitoken.Settings, values)
    assert message in str(caught.value)
