import functools

import jax
import jax.numpy as jnp
import pytest

from ugf_jax.training.flops import forward_flops, peak_flops


def struct(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def mlp(x, w):
    return jnp.tanh(x @ w)


PRODUCT = 2.0 * 5 * 7 * 7


def test_matrix_products():
    assert forward_flops(mlp, struct(5, 7), struct(7, 9)) == 2 * 5 * 7 * 9
    assert forward_flops(lambda q, k: jnp.einsum("bqhd,bkhd->bhqk", q, k), struct(2, 3, 4, 8), struct(2, 6, 4, 8)) == (
        2 * 2 * 3 * 6 * 4 * 8
    )
    assert forward_flops(jnp.add, struct(5), struct(5)) == 0


@pytest.mark.parametrize(
    ("wrap", "times"),
    [
        (jax.jit, 1),
        (jax.checkpoint, 1),
        (jax.custom_vjp, 1),
        (jax.custom_jvp, 1),
        (lambda f: lambda x, w: jax.lax.scan(lambda c, _: (f(c, w), None), x, length=6)[0], 6),
        (lambda f: lambda x, w: jax.lax.fori_loop(0, 4, lambda _, c: f(c, w), x), 4),
        (lambda f: lambda x, w: jax.lax.while_loop(lambda c: c.sum() > 0, lambda c: f(c, w), x), 1),
        (lambda f: lambda x, w: jax.lax.cond(x.sum() > 0, lambda: f(f(x, w), w), lambda: x), 2),
    ],
)
def test_bodies_are_entered(wrap, times):
    function = wrap(mlp)
    if hasattr(function, "defvjp"):
        function.defvjp(lambda x, w: (mlp(x, w), w), lambda w, g: (g @ w.T, jnp.zeros_like(w)))
    if hasattr(function, "defjvp"):
        function.defjvp(lambda p, t: (mlp(*p), t[0]))
    assert forward_flops(function, struct(5, 7), struct(7, 7)) == times * PRODUCT


def test_remat_is_counted_once_forward_and_again_backward():
    function = jax.checkpoint(lambda x, w: jnp.sum(jnp.sin(x @ w)))
    forward = forward_flops(function, struct(5, 7), struct(7, 7))
    assert forward == PRODUCT
    assert forward_flops(jax.grad(function, (0, 1)), struct(5, 7), struct(7, 7)) == 4 * PRODUCT  # forward, again, two gradients


def test_gradient_of_a_layer_is_twice_its_forward():
    loss = lambda x, w: jnp.sum(jnp.square(x @ w))  # noqa: E731
    assert forward_flops(jax.grad(loss, (0, 1)), struct(5, 7), struct(7, 9)) == 3 * 2 * 5 * 7 * 9


def test_convolutions():
    conv = functools.partial(jax.lax.conv_general_dilated, padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    x = struct(2, 16, 12, 6)
    assert forward_flops(lambda x, w: conv(x, w, (1, 1)), x, struct(3, 5, 6, 8)) == 2 * (2 * 16 * 12 * 8) * (3 * 5 * 6)
    assert forward_flops(lambda x, w: conv(x, w, (2, 2)), x, struct(3, 3, 6, 8)) == 2 * (2 * 8 * 6 * 8) * (3 * 3 * 6)
    depthwise = lambda x, w: conv(x, w, (1, 1), feature_group_count=6)  # noqa: E731
    assert forward_flops(depthwise, x, struct(3, 3, 1, 6)) == 2 * (2 * 16 * 12 * 6) * 9
    # A transposed convolution with stride 2 and a 2x2 kernel touches every input once for each kernel element.
    transposed = lambda x, w: jax.lax.conv_transpose(x, w, (2, 2), "VALID")  # noqa: E731
    assert forward_flops(transposed, x, struct(2, 2, 6, 8)) == 2 * (2 * 16 * 12) * (2 * 2 * 6 * 8)


def test_shard_map_counts_every_device():
    mesh = jax.make_mesh((4, 2), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    specs = {"in_specs": (jax.P(("data", "fsdp")), jax.P()), "out_specs": jax.P(("data", "fsdp"))}
    function = jax.shard_map(mlp, mesh=mesh, **specs)
    assert forward_flops(function, struct(16, 7), struct(7, 7)) == 2 * 16 * 7 * 7


def test_a_real_model_agrees_with_the_compiler():
    def block(x, w):
        h = jax.nn.gelu(x @ w["up"]) @ w["down"]
        return x + h, None

    w = {"up": struct(1, 256, 1024), "down": struct(1, 1024, 256)}
    function = lambda x, w: jax.lax.scan(block, x, w)[0]  # noqa: E731
    compiled = jax.jit(function).lower(struct(512, 256), w).compile().cost_analysis()["flops"]
    assert forward_flops(function, struct(512, 256), w) == pytest.approx(compiled, rel=0.05)


class Device:
    def __init__(self, kind):
        self.device_kind = kind


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v5", 459),
        ("TPU v6 lite", 918),
        ("TPU7x", 1153.5),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
    ],
)
def test_peak_of_known_devices(kind, teraflops):
    assert peak_flops(Device(kind)) == teraflops * 1e12


def test_no_peak_on_cpu():
    assert peak_flops(jax.devices()[0]) is None
