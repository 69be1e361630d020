"""Contrastive losses: the dense formulas, over one device and over eight, whatever the chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.objectives.contrastive import KINDS, contrastive_loss, retrieval
from ugf_jax.training import sharding
from ugf_jax.training.sharding import MeshSettings

PAIRS, FEATURES = 24, 8


def pairs(seed=0, invalid=(3, 17)):
    rng = np.random.default_rng(seed)
    image, text = rng.normal(size=(2, PAIRS, FEATURES))
    image /= np.linalg.norm(image, axis=-1, keepdims=True)
    text /= np.linalg.norm(text, axis=-1, keepdims=True)
    valid = ~np.isin(np.arange(PAIRS), invalid)
    return image.astype(np.float32), text.astype(np.float32), valid, np.array([1.2, -3.0], np.float32)


def dense(kind, image, text, valid, contrast):
    """The formulas of the papers in float64, over valid pairs only."""
    image, text = image[valid].astype(np.float64), text[valid].astype(np.float64)
    logits = np.exp(float(contrast[0])) * image @ text.T
    own = np.arange(len(image))
    if kind == "sigmoid":
        z = np.where(own[:, None] == own[None], 1.0, -1.0) * (logits + contrast[1])
        return np.log1p(np.exp(-z)).sum() / len(image)
    over_texts = np.log(np.exp(logits).sum(1)) - logits[own, own]
    over_images = np.log(np.exp(logits).sum(0)) - logits[own, own]
    return (over_texts.mean() + over_images.mean()) / 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_chunks_give_the_dense_formula(kind, chunk):
    arguments = pairs()
    assert float(contrastive_loss(*map(jnp.asarray, arguments), kind, chunk)) == pytest.approx(
        dense(kind, *arguments), rel=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_eight_devices_give_the_dense_formula_and_its_gradient(kind):
    image, text, valid, contrast = pairs()

    def loss(image, text, contrast):
        return contrastive_loss(image, text, jnp.asarray(valid), contrast, kind, chunk=5)

    expected, gradients = jax.value_and_grad(loss, (0, 1, 2))(image, text, contrast)
    mesh = sharding.make_mesh(MeshSettings(data=2, fsdp=2, tensor=2))
    with jax.set_mesh(mesh):
        spread = (jax.device_put(x, sharding.batch_sharding(mesh)) for x in (image, text))
        found, found_gradients = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*spread, contrast)
    assert float(found) == pytest.approx(dense(kind, image, text, valid, contrast), rel=1e-5)
    assert float(expected) == pytest.approx(float(found), rel=1e-6)
    for one, other in zip(gradients, found_gradients, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_agrees_with_finite_differences(kind):
    image, text, valid, contrast = pairs()
    gradient = jax.grad(lambda t: contrastive_loss(image, t, jnp.asarray(valid), contrast, kind, chunk=6))(jnp.asarray(text))
    for place in [(0, 0), (9, 5), (23, 7)]:
        step = np.zeros_like(text, np.float64)
        step[place] = 1e-4
        ends = [dense(kind, image, text + sign * step, valid, contrast) for sign in (1, -1)]
        assert float(gradient[place]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_not_valid_change_nothing(kind):
    image, text, valid, contrast = map(jnp.asarray, pairs())
    changed = jnp.where(valid[:, None], text, text[::-1])
    gradient = jax.grad(lambda x: contrastive_loss(x, text, valid, contrast, kind))(image)
    assert float(contrastive_loss(image, changed, valid, contrast, kind)) == float(
        contrastive_loss(image, text, valid, contrast, kind)
    )
    assert not np.asarray(gradient)[~np.asarray(valid)].any()
    assert np.asarray(gradient)[np.asarray(valid)].any(axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_matching_pairs_lose_less_than_shuffled_ones(kind):
    image, _, _, contrast = pairs()
    valid = jnp.ones(PAIRS, bool)
    contrast = jnp.array([4.0, -40.0])
    assert contrastive_loss(image, image, valid, contrast, kind) < 0.3 * contrastive_loss(
        image, image[::-1], valid, contrast, kind
    )
    assert retrieval(jnp.asarray(image), jnp.asarray(image), valid).mean() == 1


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="want one of sigmoid, infonce"):
        contrastive_loss(*map(jnp.asarray, pairs()), kind="triplet")
