import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.master import MasterSettings, ViTMaster, make_master
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.vqgan import VQGANSettings

SMALL = MasterSettings(size=32, patch=8, width=32, depth=2, heads=2)
CONVOLUTIONAL = dataclasses.replace(
    SMALL, kind="vqgan", patch=4, quantizer=QuantizerSettings(levels=(8, 8, 8)), vqgan=VQGANSettings(32, (1, 1, 1), 1, 8)
)
MEANS = dataclasses.replace(SMALL, encoder="mean", quantizer=QuantizerSettings(levels=(3, 4, 5)))
COVERAGE = dataclasses.replace(SMALL, encoder="coverage", quantizer=QuantizerSettings("product", (5, 6)))


@pytest.fixture
def low():
    return jnp.tanh(jax.random.normal(jax.random.key(0), (2, 32, 32, 3)))


@pytest.mark.parametrize("settings", [SMALL, CONVOLUTIONAL, MEANS, COVERAGE], ids=["vit", "vqgan", "mean", "coverage"])
def test_decoding_codes_gives_the_reconstruction(settings, low, randomize):
    model = make_master(settings)
    variables = randomize(jax.eval_shape(lambda: model.init(jax.random.key(1), low)))
    out = jax.jit(model.apply)(variables, low)
    assert out.index.shape == (2, settings.grid, settings.grid)
    assert out.recon.shape == low.shape
    np.testing.assert_allclose(
        jax.jit(functools.partial(model.apply, method="decode"))(variables, out.index), out.recon, atol=1e-5
    )


@pytest.mark.parametrize("settings", [MEANS, COVERAGE], ids=["mean", "coverage"])
def test_a_plain_encoder_has_nothing_to_learn(settings, low):
    params = jax.eval_shape(make_master(settings).init, jax.random.key(0), low)["params"]
    assert set(params) == {"decoder", "head", "quantizer"}  # colours and masks are state, not parameters
    assert set(params["quantizer"]) == {"project_out"}


def test_it_can_learn_one_batch_by_heart():
    settings = dataclasses.replace(SMALL, size=16, patch=4)
    model = ViTMaster(settings)
    rows, columns = jnp.mgrid[:16, :16]
    low = jnp.stack([jnp.sin(rows / 3), jnp.cos(columns / 2), jnp.sin((rows + columns) / 5)], -1)[None]
    params = jax.jit(model.init)(jax.random.key(1), low)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(_, carry):
        params, state = carry
        gradient = jax.grad(lambda p: jnp.mean((model.apply(p, low).recon - low) ** 2))(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    params, _ = jax.jit(lambda c: jax.lax.fori_loop(0, 150, step, c))((params, optimizer.init(params)))
    psnr = -10 * np.log10(np.mean((np.asarray(jax.jit(model.apply)(params, low).recon) - low) ** 2) / 4)
    assert psnr > 30


def test_settings_that_do_not_fit_are_refused():
    for change, message in (
        ({"size": 250}, "config.size is 250; want a multiple of config.patch, 16"),
        ({"width": 100}, "config.width is 100; want a multiple of 4 x config.heads, 32"),
        ({"kind": "vqgan", "patch": 8}, "config.patch is 8; want 16"),
        ({"encoder": "mean"}, "config.encoder is mean; want config.kind vit, and config.quantizer fsq with 3 levels"),
        (
            {"encoder": "coverage"},
            "config.encoder is coverage; want config.kind vit, and config.quantizer product with 2 levels",
        ),
        (
            {"encoder": "coverage", "patch": 10, "size": 40, "quantizer": {"kind": "product", "levels": (4, 4)}},
            "config.patch is 10; want a multiple of 8, for config.encoder coverage",
        ),
        ({"kind": "vgg"}, "want it one of vit, vqgan"),
    ):
        with pytest.raises(InputError, match=message):
            config.parse(MasterSettings, change)
    assert MasterSettings().grid == 16
