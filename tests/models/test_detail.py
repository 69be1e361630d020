import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.detail import CERTAIN, DetailModel, DetailSettings, linked
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.training.flops import forward_flops

FSQ = QuantizerSettings(levels=(4, 3))
AUXILIARY = AuxiliarySettings(patch=4, window=4, width=16, depth=2, heads=2, groups=2, levels=2, keep=0.5, quantizer=FSQ)
SETTINGS = DetailSettings(width=16, depth=2, heads=2, window=3)
MODEL = DetailModel(SETTINGS, AUXILIARY)
apply = jax.jit(MODEL.apply, static_argnames="level")
ROWS, COLUMNS = 4, 7  # windows of 3 divide neither


def inputs(rows=ROWS, columns=COLUMNS, batch=2):
    keys = jax.random.split(jax.random.key(0), 4)
    up = jax.random.uniform(keys[0], (batch, rows * 4, columns * 4, 3), minval=-1)
    index = jax.random.randint(keys[1], (batch, rows, columns, 2), 0, 12)
    kept = jax.random.bernoulli(keys[2], 0.7, index.shape[:-1])
    masked = jax.random.bernoulli(keys[3], 0.5, index.shape)
    return up, index, jnp.where(kept[..., None], masked, masked[..., :1]), kept


@pytest.fixture(scope="module")
def params():
    leaves, tree = jax.tree.flatten(jax.eval_shape(lambda: MODEL.init(jax.random.key(1), *inputs())))
    rng = np.random.default_rng(0)
    return tree.unflatten([0.3 * rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves])


def test_one_set_of_weights_serves_every_size_and_level(params):
    logits = apply(params, *inputs())
    assert logits.codes.shape == (2, ROWS, COLUMNS, 2, 7)
    assert logits.kept.shape == (2, ROWS, COLUMNS)
    assert apply(params, *inputs(2, 5)).codes.shape == (2, 2, 5, 2, 7)
    assert not np.allclose(apply(params, *inputs(), level=1).codes, logits.codes)


def test_what_is_not_known_is_not_seen(params):
    up, index, masked, kept = inputs()
    hidden = masked | ~kept[..., None]
    other = jnp.where(hidden, (index + 5) % 12, index)
    unknown = masked.all(-1)
    assert unknown.any()
    assert (hidden & ~masked).any()
    one, two = apply(params, up, index, masked, kept), apply(params, up, other, masked, kept ^ unknown)
    np.testing.assert_array_equal(one.codes, two.codes)
    np.testing.assert_array_equal(one.kept, two.kept)


def test_what_is_known_is_seen(params):
    up, index, masked, kept = inputs()
    base = apply(params, up, index, masked, kept).codes
    known = ~masked & kept[..., None]
    changes = {
        "a code": (up, jnp.where(known, (index + 1) % 12, index), masked, kept),
        "that a position is skipped": (up, index, masked, kept & masked.any(-1)),
        "what is masked": (up, index, masked | (jax.random.uniform(jax.random.key(9), masked.shape) < 0.5), kept),
        "the coarse image": (-up, index, masked, kept),
    }
    for what, changed in changes.items():
        assert not np.allclose(apply(params, *changed).codes, base), what


def test_windows_bound_what_is_seen(params):
    up, index, masked, kept = inputs(4, 24, batch=1)
    masked = jnp.zeros_like(masked)  # the share of masked codes is known everywhere
    grads = jax.grad(lambda u: apply(params, u, index, masked, kept).codes[0, 0, 0].sum())(up)
    reach = np.abs(np.asarray(grads)).max((0, 1, 3)).reshape(24, 4).max(1)
    assert reach[0] > 0
    assert reach[5:].max() == 0  # one plain window of 3 and one shifted by 1


def test_cost_is_linear_in_pixels(params):
    one, four, sixteen = (forward_flops(MODEL.apply, params, *inputs(6 * n, 6 * n)) for n in (1, 2, 4))
    assert four / one == pytest.approx(4, rel=0.1)
    assert sixteen / four == pytest.approx(4, rel=0.01)


def test_links_tell_a_digit_of_those_before_it(params):
    up, index, masked, kept = inputs()
    logits, digits = apply(params, up, index, masked, kept), MODEL.digits
    table = np.asarray(params["params"]["links"])
    expected = np.asarray(logits.codes).copy()
    first = np.asarray(index) % 4
    expected[..., 4:] += table[np.arange(2), first][..., 4:]
    np.testing.assert_allclose(linked(logits, index, digits), expected, atol=1e-5)


def test_codes_of_one_digit_have_no_links_and_what_is_never_skipped_is_certain():
    vq = dataclasses.replace(AUXILIARY, keep=1.0, quantizer=QuantizerSettings(kind="vq", size=12))
    for settings, auxiliary in ((dataclasses.replace(SETTINGS, digits=False), AUXILIARY), (SETTINGS, vq)):
        model = DetailModel(settings, auxiliary)
        logits, variables = jax.eval_shape(lambda m=model: m.init_with_output(jax.random.key(0), *inputs()))
        assert logits.codes.shape[-1] == 12
        assert linked(logits, inputs()[1], model.digits) is logits.codes
        assert model.skips == (auxiliary is AUXILIARY)
        assert variables["params"]["predict"]["bias"].shape == (24 + model.skips,)
    small = DetailModel(SETTINGS, vq)
    logits = jax.jit(lambda: small.init_with_output(jax.random.key(0), *inputs(1, 1))[0])()
    np.testing.assert_array_equal(logits.kept, CERTAIN)


def test_settings_that_do_not_fit_are_refused():
    for change, message in (({"depth": 3}, "config.depth is 3"), ({"width": 20, "heads": 8}, "config.width is 20")):
        with pytest.raises(InputError, match=message):
            config.parse(DetailSettings, change)
