import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from ugf_jax.models.kernels.flash import flash
from ugf_jax.models.kernels.reference import reference
from ugf_jax.models.kernels.tiles import Tile, Tiles
from ugf_jax.models.kernels.visibility import Visibility

SMALL = Tiles(*[Tile(16, 16)] * 3)


@pytest.mark.parametrize(("features", "dtype"), [(64, "bfloat16"), (256, "bfloat16"), (80, "float32")])
def test_forward_and_backward_lower_for_cuda_without_a_gpu(features, dtype, shapes, gradients):
    arguments = shapes(300, 515, 4, 2, features, dtype)
    device = AbstractDevice(device_kind="NVIDIA H100", num_cores=None, platform="gpu")
    mesh = AbstractMesh((1,), ("data",), axis_types=(AxisType.Auto,), abstract_device=device)
    with jax.sharding.use_abstract_mesh(mesh):
        function = gradients(functools.partial(flash, ordered=False))
        text = function.trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("__gpu$xla.gpu.triton") == 3
    for name in ("flash_forward", "flash_query_gradient", "flash_key_gradients"):
        assert name in text


def test_default_tiles_and_odd_sizes(packed):
    query, key, value = jax.random.normal(jax.random.key(0), (3, 1, 145, 2, 40))
    seen = packed(145)
    ours = jax.jit(functools.partial(flash, ordered=True, interpret=True))(query, key, value, seen)
    np.testing.assert_allclose(ours, reference(query, key, value, seen, True), rtol=1e-5, atol=1e-5)


def test_blocks_that_nobody_sees_are_not_read():
    """Values that are not numbers, behind the query or in another document, where whole blocks of them are skipped."""
    tokens = 96
    query, key, value = jax.random.normal(jax.random.key(0), (3, 1, tokens, 2, 16))
    segments = jnp.where(jnp.arange(tokens) < 48, 1, 2)[None]
    seen = Visibility.causal(segments, jnp.arange(tokens)[None] % 48)
    attention = functools.partial(flash, ordered=True, tiles=SMALL, interpret=True)
    spoiled = value.at[:, 16:64].set(np.nan)
    output = jax.jit(attention)(query, key, spoiled, seen)
    finite = np.isfinite(output).all(axis=(0, 2, 3))
    np.testing.assert_array_equal(np.flatnonzero(finite), np.arange(16))
    output = jax.jit(attention)(query, key, value.at[:, :48].set(np.nan), seen)
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(output).all(axis=(0, 2, 3))), np.arange(48, 96))


def test_too_many_features_are_refused(packed):
    x = jnp.zeros((1, 8, 1, 257))
    with pytest.raises(ValueError, match="257 features a head; want at most 256"):
        flash(x, x, x, packed(8), True)
