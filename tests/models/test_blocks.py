import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.blocks import GridBlock, GridStack, RMSNorm, SwiGLU, hidden_size

X = jax.random.normal(jax.random.key(0), (2, 4, 6, 16))


def test_norm_is_the_formula_and_ignores_scale_of_the_input():
    params = {"params": {"scale": jnp.linspace(1, 2, 16)}}
    expected = X / np.sqrt(np.mean(np.square(X), -1, keepdims=True)) * np.linspace(1, 2, 16)
    np.testing.assert_allclose(RMSNorm().apply(params, X), expected, rtol=1e-4)
    np.testing.assert_allclose(RMSNorm().apply(params, 100 * X), expected, rtol=1e-4)


def test_swiglu_is_the_formula(randomize):
    module = SwiGLU(24)
    params = randomize(module.init(jax.random.key(1), X)["params"])
    gate, up, down = (params[n]["kernel"] for n in ("gate", "up", "down"))
    expected = (jax.nn.silu(X @ gate) * (X @ up)) @ down
    np.testing.assert_allclose(module.apply({"params": params}, X), expected, atol=1e-5)


def test_hidden_size_costs_what_a_plain_layer_costs():
    for width in (128, 512, 1024, 4096):
        assert hidden_size(width) % 32 == 0
        assert abs(3 * width * hidden_size(width) / (8 * width**2) - 1) < 0.05


@pytest.mark.parametrize("window", [None, 4])
def test_scanned_layers_equal_the_same_layers_one_by_one(window, randomize):
    stack = GridStack(depth=4, heads=2, window=window)
    params = randomize(jax.eval_shape(lambda: stack.init(jax.random.key(1), X))["params"])
    x = X
    for i in range(4):
        name, layer = ("layer", i) if window is None else (("layer", "shifted_layer")[i % 2], i // 2)
        own = jax.tree.map(lambda p, layer=layer: p[layer], params["blocks"][name])
        x = jax.jit(GridBlock(2, window, shifted=window is not None and i % 2 == 1).apply)({"params": own}, x)
    np.testing.assert_allclose(
        jax.jit(stack.apply)({"params": params}, X), RMSNorm().apply({"params": params["norm"]}, x), atol=1e-4
    )


def test_layers_start_different():
    kernel = GridStack(depth=3, heads=2).init(jax.random.key(1), X)["params"]["blocks"]["layer"]["mlp"]["gate"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])


def test_remat_changes_neither_value_nor_gradient(randomize):
    params = randomize(jax.eval_shape(lambda: GridStack(2, 2).init(jax.random.key(1), X)))

    def loss(params, remat):
        return jnp.sum(GridStack(2, 2, remat=remat).apply(params, X) ** 2)

    kept, again = (jax.jit(jax.value_and_grad(loss), static_argnums=1)(params, remat) for remat in (False, True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), kept, again)


def test_a_stack_starts_as_a_norm():
    stack = GridStack(2, 2, window=4)
    y = jax.jit(lambda: stack.apply(stack.init(jax.random.key(1), X), X))()
    np.testing.assert_allclose(y, RMSNorm().apply({"params": {"scale": jnp.ones(16)}}, X), rtol=1e-6)


def test_an_odd_number_of_windowed_layers_is_refused():
    with pytest.raises(ValueError, match="even"):
        GridStack(3, 2, window=4).init(jax.random.key(0), X)
