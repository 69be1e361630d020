import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.product_vq import ProductVQ

SIZES, FEATURES = (3, 4), (2, 5)
MODEL = ProductVQ(SIZES, FEATURES, decay=0.5)


def variables():
    return MODEL.init(jax.random.key(0), jnp.zeros((1, 7)))


def test_a_code_names_one_entry_of_each_part():
    state = variables()
    first, second = (np.asarray(state["codebook"][f"part_{n}"]["embedding"]) for n in range(2))
    index = jnp.arange(12)
    value = MODEL.apply(state, index, method="lookup")
    for code in range(12):
        np.testing.assert_array_equal(value[code], np.concatenate([first[code % 3], second[code // 3]]))
    found, numbers, loss = MODEL.apply(state, value)
    np.testing.assert_array_equal(numbers, index)
    np.testing.assert_allclose(found, value, atol=1e-6)
    assert loss == 0


def test_every_part_goes_to_its_own_nearest():
    state = variables()
    x = jax.random.normal(jax.random.key(1), (50, 7))
    first, second = (np.asarray(state["codebook"][f"part_{n}"]["embedding"]) for n in range(2))
    expected = [np.argmin(((c - p) ** 2).sum(1)) for c, p in ((first, row) for row in np.asarray(x[:, :2]))]
    others = [np.argmin(((second - row) ** 2).sum(1)) for row in np.asarray(x[:, 2:])]
    np.testing.assert_array_equal(MODEL.apply(state, x)[1], np.array(expected) + 3 * np.array(others))


def test_training_finds_what_parts_there_are_though_few_pairs_occur():
    colours = np.array([[0, 0], [9, 0], [0, 9]], np.float32)
    masks = np.eye(4, 5, dtype=np.float32) * 7
    rng = np.random.default_rng(0)
    state = variables()
    for step in range(60):
        colour = rng.integers(3, size=256)
        x = np.concatenate([colours[colour], masks[(colour + rng.integers(2, size=256)) % 4]], axis=1)
        _, state = MODEL.apply(state, jnp.asarray(x), key=jax.random.key(step), mutable=["codebook"])
    for n, true in enumerate((colours, masks)):
        found = np.asarray(state["codebook"][f"part_{n}"]["embedding"])
        np.testing.assert_allclose(sorted(found.round(2).tolist()), sorted(true.tolist()), atol=1e-2)
    unseen = jnp.concatenate([jnp.asarray(colours[:1]), jnp.asarray(masks[3:])], axis=1)  # this colour had masks 0 and 1
    np.testing.assert_allclose(MODEL.apply(state, unseen)[0], unseen, atol=1e-3)
