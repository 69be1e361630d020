import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.vq import VQ, nearest

SIZE, FEATURES = 5, 3


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(7), (40, FEATURES))


def start(module, x):
    """A state whose codes are all in use."""
    state = module.init(jax.random.key(0), x)["codebook"]
    count = jnp.full(SIZE, 2.0)
    return {"codebook": {"embedding": state["embedding"], "count": count, "total": state["embedding"] * 2}}


def move(module, state, x, weights=None, key=1):
    return module.apply(state, x, weights, jax.random.key(key), mutable=["codebook"])


def test_nearest_is_the_nearest(x):
    embedding = jax.random.normal(jax.random.key(1), (SIZE, FEATURES))
    distance = np.linalg.norm(np.asarray(x)[:, None] - np.asarray(embedding), axis=-1)
    np.testing.assert_array_equal(nearest(x, embedding), distance.argmin(1))


@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_a_step_is_a_k_means_step_with_memory(x, decay):
    module = VQ(SIZE, FEATURES, decay=decay, restart=0)
    state = start(module, x)
    old = np.asarray(state["codebook"]["embedding"])
    (_, index, _), new = move(module, state, x)
    for code in range(SIZE):
        mine = np.asarray(x)[np.asarray(index) == code]
        count = decay * 2 + (1 - decay) * len(mine)
        total = decay * 2 * old[code] + (1 - decay) * mine.sum(0)
        np.testing.assert_allclose(new["codebook"]["embedding"][code], total / count if count else old[code], rtol=1e-4)


def test_values_loss_and_gradients(x):
    module = VQ(SIZE, FEATURES, commitment=0.25)
    state = start(module, x)
    value, index, loss = module.apply(state, x)
    code = state["codebook"]["embedding"][index]
    np.testing.assert_array_equal(value, code)
    np.testing.assert_array_equal(module.apply(state, index, method="lookup"), code)
    np.testing.assert_allclose(loss, 0.25 * np.mean((np.asarray(x) - code) ** 2), rtol=1e-5)
    passed = jax.grad(lambda x: jnp.sum(module.apply(state, x)[0] ** 2))(x)
    np.testing.assert_allclose(passed, 2 * code, rtol=1e-5)
    pull = jax.grad(lambda x: module.apply(state, x)[2])(x)
    np.testing.assert_allclose(pull, 0.5 * (x - code) / x.size, rtol=1e-4, atol=1e-8)


def test_the_first_batch_places_every_code_on_an_input(x):
    module = VQ(SIZE, FEATURES)
    state = module.init(jax.random.key(0), x)
    np.testing.assert_array_equal(state["codebook"]["count"], 0)
    _, new = move(module, state, x)
    used = np.asarray(new["codebook"]["count"]) > 0
    assert used.all()


def test_unused_codes_move_onto_inputs_that_count_and_the_key_decides(x):
    module = VQ(SIZE, FEATURES, decay=0.5)
    state = start(module, x)
    state["codebook"]["embedding"] = state["codebook"]["embedding"].at[3:].set(100.0)
    state["codebook"]["count"] = state["codebook"]["count"].at[3:].set(0.0)
    weights = (jnp.arange(40) < 10).astype(jnp.float32)
    once, again, other = (move(module, state, x, weights, key)[1]["codebook"]["embedding"] for key in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once[3:], other[3:])
    allowed = {tuple(row) for row in np.asarray(x[:10])}
    assert {tuple(row) for row in np.asarray(once[3:])} <= allowed


def test_inputs_without_weight_neither_move_codes_nor_count_in_the_loss(x):
    module = VQ(SIZE, FEATURES, decay=0.5, restart=0)
    state = start(module, x)
    weights = (jnp.arange(40) % 2).astype(jnp.float32)
    (_, _, loss), new = move(module, state, x, weights)
    (_, _, expected), half = move(module, state, x[1::2])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), new, half)


def test_nothing_to_learn_from_leaves_the_codebook_finite(x):
    module = VQ(SIZE, FEATURES)
    _, new = move(module, module.init(jax.random.key(0), x), x, jnp.zeros(40))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new))


def test_outside_training_the_codebook_stays(x):
    module = VQ(SIZE, FEATURES)
    state = start(module, x)
    _, new = module.apply(state, x, mutable=["codebook"])
    jax.tree.map(np.testing.assert_array_equal, new, state)


def test_usage_grows_to_the_whole_codebook():
    # Inputs in tight clusters far from most of the initial codes: without restarts most codes would never be used.
    centres = jax.random.normal(jax.random.key(0), (16, FEATURES)) * 5
    module = VQ(16, FEATURES, decay=0.8)
    state = module.init(jax.random.key(1), centres)
    for i in range(60):
        noise = 0.01 * jax.random.normal(jax.random.key(i), (8, 16, FEATURES))
        (_, index, _), state = move(module, state, (centres + noise).reshape(-1, FEATURES), key=i)
    assert len(np.unique(index)) >= 14
