"""The detail stage: it learns codes by heart, its tokenizer stays as it is, and it is the same on any mesh."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.detail import DetailSettings
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.tokenizer import DualTokenizer, TokenizerSettings
from ugf_jax.models.unmasking import UnmaskSettings
from ugf_jax.training import parameter_axes, sharding, trainer
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.frozen import load_tokenizer
from ugf_jax.training.optimizer import OptimizerSettings, make_optimizer
from ugf_jax.training.sharding import MeshSettings
from ugf_jax.training.stages import tokenizer
from ugf_jax.training.stages.detail import DetailObjective, Settings, build
from ugf_jax.training.stages.tokenizer import master_alone, psnr
from ugf_jax.training.state import init_state, make_step

FSQ = QuantizerSettings(levels=(3, 4))
AUXILIARY = AuxiliarySettings(patch=8, window=4, width=16, depth=2, heads=2, groups=2, keep=0.6, quantizer=FSQ)
MODEL = TokenizerSettings(MasterSettings(size=16, patch=8, width=16, depth=2, heads=2, quantizer=FSQ), AUXILIARY)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 24, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Work folder of a tokenizer with random parameters."""
    settings = tokenizer.Settings(model=MODEL, optimizer=OptimizerSettings(ema_decay=0.0))
    abstract, _ = jax.eval_shape(lambda: tokenizer.build(settings).init(jax.random.key(0), {"image": IMAGES}))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: jax.device_put(0.3 * rng.standard_normal(x.shape, np.float32)), abstract)
    folder = tmp_path_factory.mktemp("tokenizer")
    with Checkpointer(folder / "checkpoints") as checkpoints:
        checkpoints.save(1, {"params": params, "model_state": {}}, {"config": config.to_json(settings)})
    return folder


def make_settings(folder, **changes):
    return Settings(
        steps=200,
        tokenizer=str(folder),
        **{
            "model": DetailSettings(width=32, depth=2, heads=2, window=4),
            "objective": DetailObjective(master_corruption=0.0),
            "sampling": UnmaskSettings(steps=3, temperature=0.0, choice_temperature=0.0),
            "optimizer": OptimizerSettings(learning_rate=1e-2, warmup_steps=10, weight_decay=0.0),
            **changes,
        },
    )


def run(settings, steps, devices=1, **axes):
    """State before and after some steps, and each step's metrics."""
    mesh = sharding.make_mesh(MeshSettings(**axes), jax.devices()[:devices])
    stage, optimizer = build(settings), make_optimizer(settings.optimizer, settings.steps)

    def init(key, batch):
        return init_state(stage, optimizer, False, key, batch)

    with jax.set_mesh(mesh):
        where = sharding.batch_sharding(mesh)
        specs = {"image": jax.ShapeDtypeStruct(IMAGES.shape, jnp.uint8, sharding=where)}
        abstract = trainer.abstract_state(init, specs, stage, settings, mesh)
        state = trainer.initial_state(init, specs, abstract, settings.seed)
        before = jax.device_get(state.model_state)
        arrays = sharding.to_global({"image": IMAGES}, mesh)
        step, metrics = jax.jit(make_step(stage, optimizer), donate_argnums=0), []
        for _ in range(steps):
            state, found = step(state, arrays)
            metrics.append(found)
    return before, jax.device_get((state.params, state.model_state)), jax.device_get(metrics)


@pytest.fixture(scope="module")
def learnt(folder):
    settings = make_settings(folder)
    return settings, *run(settings, 200)


def test_a_batch_is_learnt_by_heart(learnt):
    metrics = learnt[3]
    assert metrics[0]["loss/codes"] == pytest.approx(np.log(12), rel=0.1)  # it starts knowing nothing
    last = [np.mean([m[name] for m in metrics[-10:]]) for name in ("loss/codes", "loss/kept", "accuracy/codes")]
    assert last[0] < 0.05
    assert last[1] < 0.05
    assert last[2] > 0.98


@pytest.fixture(scope="module")
def measured(learnt):
    """What evaluation finds of a batch of which one image is padding."""
    settings, _, (params, state), _ = learnt
    batch = {"image": IMAGES[:3], "mask": np.array([True, True, False])}
    return jax.device_get(jax.jit(build(settings).evaluate)(params, state, batch))


def test_measures_are_those_of_the_tokenizer_and_padding_does_not_count(measured, folder):
    assert set(measured) == {"loss/codes", "loss/kept", "accuracy/codes", "psnr/up", "psnr/generated", "psnr/codes"}
    for name, (values, weights) in measured.items():
        assert values.shape == weights.shape == (3,), name
        assert weights[1] > 0 == weights[2]
    image = IMAGES[:3] / np.float32(127.5) - 1
    output = jax.jit(DualTokenizer(MODEL).apply)(load_tokenizer(folder).variables, image)
    np.testing.assert_allclose(measured["psnr/codes"][0], psnr(output.recon, image), atol=0.05)
    np.testing.assert_allclose(measured["psnr/up"][0], psnr(master_alone(output), image), atol=0.05)


def test_what_was_learnt_is_drawn_again(measured):
    drawn, true, up = (measured[f"psnr/{name}"][0] for name in ("generated", "codes", "up"))
    np.testing.assert_allclose(drawn, true, atol=0.01)
    assert np.abs(true - up).min() > 0.1


def test_pictures_are_shown_beside_the_image(learnt):
    settings, _, (params, state), _ = learnt
    pictures = jax.eval_shape(build(settings).sample, params, state, {"image": IMAGES})
    assert pictures.shape == (8, 4, 24, 32, 3)


def test_the_tokenizer_stays_as_it_is(learnt, folder):
    _, before, (_, after), _ = learnt
    jax.tree.map(np.testing.assert_array_equal, before, after)
    jax.tree.map(np.testing.assert_array_equal, load_tokenizer(folder).variables, after["tokenizer"])


def test_no_row_of_the_parameter_axes_is_idle(folder):
    stage = build(make_settings(folder))
    arrays = jax.eval_shape(lambda: stage.init(jax.random.key(0), {"image": IMAGES}))
    names = [sharding.path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(arrays)]
    own = set(parameter_axes.DETAIL) - set(parameter_axes.TOKENIZER)
    assert [row for row, _ in own if not any(re.search(rf"(^|/){row}$", name) for name in names)] == []


@pytest.mark.slow
def test_loss_and_parameters_do_not_depend_on_the_mesh(learnt, folder):
    optimizer = OptimizerSettings(learning_rate=1e-3, warmup_steps=2, eps=1e-3, weight_decay=0.0)
    settings = make_settings(folder, objective=DetailObjective(master_corruption=0.5), optimizer=optimizer)
    _, (alone, _), one = run(settings, 5)
    _, (together, _), eight = run(settings, 5, devices=8, data=2, fsdp=2, tensor=2)
    np.testing.assert_allclose([m["loss"] for m in one], [m["loss"] for m in eight], rtol=1e-3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), alone, together)
    # Corrupted master codes leave other residuals, so from the same start there are other codes to learn.
    assert one[0]["gradient_norm"] != learnt[3][0]["gradient_norm"]


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_config_without_a_tokenizer_is_refused_by_name(name):
    with pytest.raises(InputError, match=r"config\.tokenizer"):
        build(Settings(tokenizer=name))
