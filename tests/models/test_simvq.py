import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.simvq import SimVQ

MODULE = SimVQ(size=7, features=3, commitment=0.25)


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(7), (40, 3))


@pytest.fixture
def variables(x):
    return MODULE.init(jax.random.key(0), x)


def test_values_are_the_nearest_mapped_codes(x, variables):
    codes = np.asarray(variables["codebook"]["embedding"]) @ np.asarray(variables["params"]["kernel"])
    value, index, loss = MODULE.apply(variables, x)
    distance = np.linalg.norm(np.asarray(x)[:, None] - codes, axis=-1)
    np.testing.assert_array_equal(index, distance.argmin(1))
    np.testing.assert_allclose(value, codes[index], rtol=1e-5)
    np.testing.assert_array_equal(value, MODULE.apply(variables, index, method="lookup"))
    np.testing.assert_allclose(loss, 1.25 * np.mean((np.asarray(x) - codes[index]) ** 2), rtol=1e-4)


def test_the_loss_moves_the_map_to_the_inputs_and_the_inputs_to_the_codes(x, variables):
    _, index, _ = MODULE.apply(variables, x)
    embedding, kernel = variables["codebook"]["embedding"], variables["params"]["kernel"]

    def loss(kernel, x):
        return MODULE.apply({"params": {"kernel": kernel}, "codebook": {"embedding": embedding}}, x)[2]

    to_kernel, to_x = jax.grad(loss, (0, 1))(kernel, x)
    apart = embedding[index] @ kernel - x
    np.testing.assert_allclose(to_kernel, 2 * embedding[index].T @ apart / x.size, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(to_x, -0.5 * apart / x.size, rtol=1e-4, atol=1e-7)


def test_the_value_passes_its_gradient_to_the_input_only(x, variables):
    def out(params, x):
        return jnp.sum(MODULE.apply({"params": params, "codebook": variables["codebook"]}, x)[0])

    to_params, to_x = jax.grad(out, (0, 1))(variables["params"], x)
    np.testing.assert_array_equal(to_x, 1)
    np.testing.assert_array_equal(to_params["kernel"], 0)


def test_training_leaves_the_frozen_codes(x, variables):
    _, new = MODULE.apply(variables, x, None, jax.random.key(1), mutable=["codebook"])
    np.testing.assert_array_equal(new["codebook"]["embedding"], variables["codebook"]["embedding"])
