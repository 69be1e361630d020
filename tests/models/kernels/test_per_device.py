import functools

import jax
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from ugf_jax.models.kernels.per_device import per_device, platform
from ugf_jax.models.kernels.reference import reference

AXES = ("data", "fsdp", "tensor")


# mesh: (heads, kv heads) of the whole → shape of a device's query, its kv heads
@pytest.mark.parametrize(
    ("sizes", "heads", "kv_heads", "rows", "local_heads", "local_kv_heads"),
    [
        ((2, 2, 2), 4, 2, 1, 2, 1),
        ((1, 2, 4), 4, 2, 2, 1, 1),  # kv heads are repeated
        ((1, 1, 8), 4, 2, 4, 4, 2),  # more devices than heads
        ((8, 1, 1), 4, 2, 4, 4, 2),  # more devices than rows
    ],
)
def test_each_device_gets_its_rows_and_heads(sizes, heads, kv_heads, rows, local_heads, local_kv_heads, packed):
    seen = jax.tree.map(lambda x: x.repeat(4, axis=0), packed(6))
    key, value = jax.random.normal(jax.random.key(0), (2, 4, 6, kv_heads, 8))
    query = jax.random.normal(jax.random.key(1), (4, 6, heads, 8))
    found = []

    def attention(query, key, value, visibility):
        found.append((query.shape, key.shape[2], visibility.query_segments.shape))
        return reference(query, key, value, visibility, True)

    alone = per_device(attention, query, key, value, seen)
    assert found[-1] == ((4, 6, heads, 8), kv_heads, (4, 6))
    with jax.set_mesh(jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * 3)):
        split = jax.jit(lambda *a: per_device(attention, *a))(query, key, value, seen)
    assert found[-1] == ((rows, 6, local_heads, 8), local_kv_heads, (rows, 6))
    np.testing.assert_allclose(split, alone, rtol=1e-5, atol=1e-6)


def test_inside_another_shard_map_nothing_is_split_again(packed):
    seen, x = packed(6), jax.random.normal(jax.random.key(0), (8, 6, 1, 8))
    attention = functools.partial(reference, ordered=True)
    with jax.set_mesh(jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))):
        one = jax.shard_map(
            lambda x: per_device(attention, x, x, x, seen), in_specs=jax.P("data"), out_specs=jax.P("data"), check_vma=False
        )
        np.testing.assert_allclose(jax.jit(one)(x)[:1], attention(x[:1], x[:1], x[:1], seen), atol=1e-6)


def test_the_platform_is_the_meshs():
    assert platform() == "cpu"
    device = AbstractDevice(device_kind="TPU v5e", num_cores=1, platform="tpu")
    with jax.sharding.use_abstract_mesh(AbstractMesh((4,), ("data",), axis_types=(AxisType.Auto,), abstract_device=device)):
        assert platform() == "tpu"
