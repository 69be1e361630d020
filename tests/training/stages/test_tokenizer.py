"""The tokenizer stage: it learns, it is the same on any mesh, and each half keeps to itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.tokenizer import TokenizerSettings
from ugf_jax.objectives.reconstruction import ReconstructionWeights
from ugf_jax.training import sharding, trainer
from ugf_jax.training.optimizer import OptimizerSettings, make_optimizer
from ugf_jax.training.sharding import MeshSettings
from ugf_jax.training.stages.tokenizer import AdversarialSettings, Settings, TokenizerObjective, build, summarize
from ugf_jax.training.state import init_state, make_step

FSQ = QuantizerSettings(levels=(5, 5, 5))
PIXELS = ReconstructionWeights(gradient=0.0, laplacian=0.0, ms_ssim=0.0)


def make_settings(quantizer=FSQ, **objective):
    model = TokenizerSettings(
        MasterSettings(size=32, patch=8, width=32, depth=2, heads=2, quantizer=quantizer),
        AuxiliarySettings(
            patch=8, window=4, width=32, depth=2, heads=2, groups=2, quantizer=quantizer, master_corruption=0.0, dropout=0.0
        ),
    )
    return Settings(
        steps=400,
        model=model,
        objective=TokenizerObjective(PIXELS, PIXELS, **objective),
        optimizer=OptimizerSettings(learning_rate=3e-3, warmup_steps=5, weight_decay=0.0),
    )


def images(count=8, height=32, width=48):
    """Smooth random pictures: a few colour blobs each, uint8 `[count, height, width, 3]`."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / 32
    centres, colours = rng.uniform(0, 1.5, (count, 4, 2)), rng.uniform(-1, 1, (count, 4, 3))
    distance = (y - centres[..., :1, None]) ** 2 + (x - centres[..., 1:, None]) ** 2
    pixels = np.einsum("nkhw,nkc->nhwc", np.exp(-8 * distance), colours)
    return {"image": np.clip(127.5 + 127.5 * pixels, 0, 255).astype(np.uint8)}


def prepare(settings, batch, mesh):
    """State on `mesh` and the compiled step."""
    stage, optimizer = build(settings), make_optimizer(settings.optimizer, settings.steps)

    def init(key, batch):
        return init_state(stage, optimizer, False, key, batch)

    where = sharding.batch_sharding(mesh)
    specs = {"image": jax.ShapeDtypeStruct(batch["image"].shape, jnp.uint8, sharding=where)}
    abstract = trainer.abstract_state(init, specs, stage, settings, mesh)
    state = trainer.initial_state(init, specs, abstract, settings.seed)
    return state, jax.jit(make_step(stage, optimizer), donate_argnums=0)


def run(settings, steps, devices=1, **axes):
    mesh = sharding.make_mesh(MeshSettings(**axes), jax.devices()[:devices])
    with jax.set_mesh(mesh):
        batch = images()
        state, step = prepare(settings, batch, mesh)
        arrays = sharding.to_global(batch, mesh)
        losses = []
        for _ in range(steps):
            state, metrics = step(state, arrays)
            losses.append(metrics)
    return jax.device_get(state.params), jax.device_get(losses)


def test_one_batch_is_learnt_and_details_add_to_the_master():
    _, metrics = run(make_settings(), 250)
    assert metrics[-1]["loss"] < 0.15 * metrics[0]["loss"]
    assert metrics[-1]["psnr/train_full"] > metrics[-1]["psnr/train_master"] + 2


@pytest.mark.slow  # test_unified holds one device and eight to the same steps
def test_loss_and_parameters_after_20_steps_do_not_depend_on_the_mesh():
    # Adam moves a parameter whose gradient is nearly zero as far as any other, in a direction that rounding decides, and a
    # rounded code turns that into another code; a larger epsilon keeps rounding as small as it is.
    settings = dataclasses.replace(
        make_settings(), optimizer=OptimizerSettings(learning_rate=1e-3, warmup_steps=5, eps=1e-3, weight_decay=0.0)
    )
    alone, one = run(settings, 20)
    together, eight = run(settings, 20, devices=8, data=2, fsdp=2, tensor=2)
    assert one[-1]["loss"] < 0.95 * one[0]["loss"]
    np.testing.assert_allclose([m["loss"] for m in one], [m["loss"] for m in eight], rtol=1e-3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), alone, together)


def test_parameters_are_really_split_over_the_mesh():
    mesh = sharding.make_mesh(MeshSettings(data=2, fsdp=2, tensor=2))
    with jax.set_mesh(mesh):
        state, _ = prepare(make_settings(), images(), mesh)
    kernel = state.params["tokenizer"]["master"]["encoder"]["blocks"]["layer"]["mlp"]["gate"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (kernel.shape[0], kernel.shape[1] // 2, kernel.shape[2] // 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vq", "simvq"])
def test_other_quantizers_learn_too(kind):
    quantizer = QuantizerSettings(kind=kind, size=128, features=8)
    _, metrics = run(make_settings(quantizer), 60)
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"]
    assert np.count_nonzero(sum(m["counts/master"] for m in metrics[-5:])) > 4


def test_no_gradient_passes_from_the_auxiliary_to_the_master():
    settings = make_settings(master_weight=0.0)
    stage, batch = build(settings), jax.tree.map(jnp.asarray, images())
    params, state = jax.jit(stage.init)(jax.random.key(0), batch)
    grads = jax.jit(jax.grad(lambda p: stage.loss(p, state, batch, jax.random.key(1), jnp.int32(0))[0]))(params)
    norms = {name: float(optax.tree.norm(grads["tokenizer"][name])) for name in ("master", "auxiliary")}
    assert norms["master"] == 0.0
    assert norms["auxiliary"] > 0.0


def adversarial(weight, start_step):
    settings = make_settings()
    gan = AdversarialSettings(weight=weight, start_step=start_step, warmup_steps=1, width=8, depth=2)
    return dataclasses.replace(settings, objective=dataclasses.replace(settings.objective, adversarial=gan))


def gradients(settings, *steps):
    stage, batch = build(settings), jax.tree.map(jnp.asarray, images())
    params, state = jax.jit(stage.init)(jax.random.key(0), batch)
    at_step = jax.jit(jax.grad(lambda p, step: stage.loss(p, state, batch, jax.random.key(1), step)[0]))
    return [at_step(params, jnp.int32(step)) for step in steps]


def test_one_gradient_serves_generator_and_discriminator():
    # Before the late start the generator's gradient is that of a run without a discriminator; the discriminator's is there
    # from the beginning and does not depend on how much the generator heeds it.
    (plain,) = gradients(make_settings(), 0)
    early, late = gradients(adversarial(weight=0.1, start_step=100), 0, 200)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), plain["tokenizer"], early["tokenizer"])
    jax.tree.map(np.testing.assert_array_equal, early["discriminator"], late["discriminator"])
    assert float(optax.tree.norm(early["discriminator"])) > 0
    felt = jax.tree.map(jnp.subtract, late["tokenizer"], early["tokenizer"])
    assert float(optax.tree.norm(felt)) > 0


def test_summary_gives_usage_and_perplexity_and_warns_of_idle_codes():
    busy, warnings = summarize({"counts/master": np.full(100, 7.0), "loss": np.float32(0.5)})
    assert (busy["usage/master"], busy["loss"]) == (1.0, 0.5)
    assert busy["perplexity/master"] == pytest.approx(100)
    assert not warnings
    idle, warnings = summarize({"counts/auxiliary": np.eye(1, 1000)[0] * 5000})
    assert idle["perplexity/auxiliary"] == pytest.approx(1)
    assert "auxiliary uses 1 of 1000 codes" in warnings["auxiliary"]


def test_a_network_of_features_adds_to_the_loss_and_is_felt(tmp_path, monkeypatch):
    (tmp_path / "edges.py").write_text("def make():\n    return lambda x: [x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]]\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = make_settings(perceptual="edges:make", perceptual_weight=0.5)
    stage, plain = build(settings), build(make_settings())
    batch = {"image": jnp.asarray(images(2)["image"])}
    params, state = jax.jit(stage.init)(jax.random.key(0), batch)

    def loss(stage):
        return jax.jit(lambda p: stage.loss(p, state, batch, jax.random.key(1), jnp.int32(0)))(params)

    (total, (_, metrics)), (without, _) = loss(stage), loss(plain)
    added = metrics["loss/perceptual/master"] + metrics["loss/perceptual/auxiliary"]
    assert float(added) > 0
    assert float(total) == pytest.approx(float(without + 0.5 * added), rel=1e-5)
