"""Token losses: the formula, whatever the chunks, and what the weights leave out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.objectives.language import mean, token_losses, z_loss

BATCH, POSITIONS, WIDTH, VOCABULARY = 2, 11, 6, 13


def arrays():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(BATCH, POSITIONS, WIDTH)).astype(np.float32)
    kernel = rng.normal(size=(WIDTH, VOCABULARY)).astype(np.float32)
    return jnp.asarray(hidden), jnp.asarray(kernel), jnp.asarray(rng.integers(0, VOCABULARY, (BATCH, POSITIONS)))


@pytest.mark.parametrize("chunk", [0, 1, 4, 11, 64])
def test_losses_are_those_of_a_float64_softmax(chunk):
    hidden, kernel, targets = arrays()
    logits = np.asarray(hidden, np.float64) @ np.asarray(kernel, np.float64)
    log_z = np.log(np.exp(logits).sum(-1))
    own = np.take_along_axis(logits, np.asarray(targets)[..., None], -1)[..., 0]
    found = token_losses(hidden, kernel, targets, chunk)
    np.testing.assert_allclose(found.nll, log_z - own, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.log_z, log_z, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.correct, logits.argmax(-1) == np.asarray(targets))


def test_chunks_change_no_gradient():
    hidden, kernel, targets = arrays()

    def loss(hidden, kernel, chunk):
        found = token_losses(hidden, kernel, targets, chunk)
        return jnp.sum(found.nll * jnp.arange(POSITIONS)) + z_loss(found.log_z, jnp.ones_like(found.log_z))

    whole = jax.grad(loss, (0, 1))(hidden, kernel, 0)
    cut = jax.grad(loss, (0, 1))(hidden, kernel, 4)
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_chunks_bound_the_memory_of_logits():
    hidden = jnp.zeros((1, 512, 8))
    kernel, targets = jnp.zeros((8, 4096)), jnp.zeros((1, 512), jnp.int32)

    def temporaries(chunk):
        step = jax.grad(lambda h: jnp.sum(token_losses(h, kernel, targets, chunk).nll))
        return jax.jit(step).lower(hidden).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(32) < temporaries(0) / 4


@pytest.mark.parametrize("chunk", [0, 1, 4, 11])
def test_what_is_not_wanted_has_no_losses_and_changes_nothing_else(chunk):
    hidden, kernel, targets = arrays()
    wanted = jnp.asarray(np.random.default_rng(1).random((BATCH, POSITIONS)) < 0.4)

    def loss(hidden, kernel, wanted):
        found = token_losses(hidden, kernel, targets, chunk, wanted)
        weights = jnp.arange(POSITIONS) * mask
        return jnp.sum((found.nll + found.log_z**2) * weights), found

    mask = wanted
    run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (_, some), gradient = run(hidden, kernel, wanted)
    (_, all_), expected = run(hidden, kernel, jnp.ones_like(wanted))
    for one, other in zip(jax.tree.leaves(some), jax.tree.leaves(all_), strict=True):
        np.testing.assert_allclose(one, jnp.where(wanted, other, 0), rtol=1e-5, atol=1e-6)
    for one, other in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_chunks_of_what_is_not_wanted_are_not_computed():
    """If they were, what is not a number would be found in the gradient of the kernel."""
    hidden, kernel, targets = arrays()
    wanted = jnp.zeros((BATCH, POSITIONS), bool).at[0, 3].set(True).at[1, :3].set(True)  # two chunks of a position of both rows
    hidden = jnp.where(wanted[..., None], hidden, jnp.nan)
    loss = jax.value_and_grad(lambda k: jnp.sum(token_losses(hidden, k, targets, 1, wanted).nll))
    assert all(np.isfinite(x).all() for x in jax.jit(loss)(kernel))
    assert not np.isfinite(jax.grad(lambda k: jnp.sum(token_losses(hidden, k, targets, 3, wanted).nll))(kernel)).all()


# The head is split over fsdp; whole, because 4 does not divide its width; split over both fsdp and tensor, in one chunk.
@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize(("width", "shape", "chunk"), [(8, (2, 4, 1), 2), (6, (2, 4, 1), 2), (8, (2, 2, 2), 0)])
def test_devices_that_gather_the_head_once_find_the_same(width, shape, chunk, some):
    mesh = jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 3)
    rng = np.random.default_rng(1)
    hidden, kernel = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in ((8, 6, width), (width, 16)))
    targets = jnp.asarray(rng.integers(0, 16, (8, 6)))

    wanted = jnp.asarray(rng.random((8, 6)) < 0.5) if some else None

    def loss(hidden, kernel):
        return jnp.sum(token_losses(hidden, kernel, targets, chunk, wanted).nll * jnp.arange(6))

    alone = jax.value_and_grad(loss, (0, 1))(hidden, kernel)
    with jax.set_mesh(mesh):
        step = jax.jit(jax.value_and_grad(loss, (0, 1)))
        together = step(jax.device_put(hidden, jax.P(("data", "fsdp"))), jax.device_put(kernel, jax.P(None, "tensor")))
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_what_has_no_weight_does_not_count():
    values, weights = jnp.array([[1.0, jnp.pi], [5.0, 7.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0]])
    assert float(mean(values, weights)) == 3.0
    assert float(mean(values, jnp.zeros_like(weights))) == 0.0
    assert float(z_loss(values, weights)) == pytest.approx((1 + 25) / 2)
