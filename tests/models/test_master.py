import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.master import MasterSettings, ViTMaster, make_master, mean_colours, mix
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.vqgan import VQGANSettings

SMALL = MasterSettings(size=32, patch=8, width=32, depth=2, heads=2)
CONVOLUTIONAL = dataclasses.replace(
    SMALL, kind="vqgan", patch=4, quantizer=QuantizerSettings(levels=(8, 8, 8)), vqgan=VQGANSettings(32, (1, 1, 1), 1, 8)
)
MEANS = dataclasses.replace(SMALL, encoder="mean", quantizer=QuantizerSettings(levels=(3, 4, 5)))


@pytest.fixture
def low():
    return jnp.tanh(jax.random.normal(jax.random.key(0), (2, 32, 32, 3)))


@pytest.mark.parametrize("settings", [SMALL, CONVOLUTIONAL, MEANS], ids=["vit", "vqgan", "mean"])
def test_decoding_codes_gives_the_reconstruction(settings, low, randomize):
    model = make_master(settings)
    variables = randomize(jax.eval_shape(lambda: model.init(jax.random.key(1), low)))
    out = jax.jit(model.apply)(variables, low)
    assert out.index.shape == (2, settings.grid, settings.grid)
    assert out.recon.shape == low.shape
    np.testing.assert_allclose(
        jax.jit(functools.partial(model.apply, method="decode"))(variables, out.index), out.recon, atol=1e-5
    )


def test_a_mean_colour_is_a_code_whatever_stands_beside_it():
    image = np.full((1, 4, 8, 3), -1.0, np.float32)
    image[0, :, 4:] = 1.0  # white
    image[0, :2, :4, 0] = 1.0  # red: half of the black patch
    np.testing.assert_array_equal(mean_colours(jnp.asarray(image), 4, (3, 4, 5)), [[[1, 2 + 3 * 3 + 12 * 4]]])
    around = jnp.full((2, 1, 1, 3), -1.0).at[:, 0, 0, 1].set(jnp.array([-0.01, 0.01]))  # of -1, -1/3, 1/3, 1 the nearest
    np.testing.assert_array_equal(mean_colours(around, 1, (2, 4, 2)).ravel(), [2 * 1, 2 * 2])


def test_a_mixed_mean_lies_between_its_own_and_a_neighbours():
    mean = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, 5, 6, 3)), jnp.float32)
    mixed = np.asarray(mix(mean, 0.8, jax.random.key(1)))
    padded = np.pad(mean, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    sides = [padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]]
    parts = np.stack([(mixed - mean) / np.where(side == mean, np.inf, side - mean) for side in sides])  # of each colour
    fits = (np.ptp(parts, axis=-1) < 1e-3) & (parts.mean(-1) > -1e-6) & (parts.mean(-1) < 0.8)
    assert fits.any(0).all()  # all three colours are mixed by one part, with one neighbour
    np.testing.assert_array_equal(mix(mean, 0.0, jax.random.key(1)), mean)
    assert not np.array_equal(mix(mean, 0.8, jax.random.key(2)), mixed)


def test_mixed_codes_are_painted_in_training_only_and_never_stored(low):
    model = ViTMaster(dataclasses.replace(MEANS, mixing=1.0))
    params = jax.tree.map(lambda p: p + 0.1 * jnp.cos(jnp.arange(p.size)).reshape(p.shape), model.init(jax.random.key(0), low))
    plain, trained = model.apply(params, low), model.apply(params, low, jax.random.key(1))
    np.testing.assert_array_equal(plain.index, trained.index)
    np.testing.assert_array_equal(plain.recon, model.apply(params, plain.index, method="decode"))
    assert not np.allclose(plain.recon, trained.recon)


def test_an_encoder_of_means_has_nothing_to_learn(low):
    params = jax.eval_shape(make_master(MEANS).init, jax.random.key(0), low)["params"]
    assert set(params) == {"decoder", "head", "quantizer"}
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
        ({"mixing": 0.5}, "config.mixing is 0.5 and config.encoder blocks; only means are mixed: want 0"),
        ({"kind": "vgg"}, "want it one of vit, vqgan"),
    ):
        with pytest.raises(InputError, match=message):
            config.parse(MasterSettings, change)
    assert MasterSettings().grid == 16
