"""Rows of activations go over the data axes, where there is a mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.constrain import constrain_rows, look_up
from ugf_jax.training import sharding
from ugf_jax.training.sharding import MeshSettings


def test_rows_keep_their_place_without_a_mesh():
    x = jnp.ones((3, 2))
    assert constrain_rows(x) is x


def test_rows_are_split_over_the_data_axes():
    mesh = sharding.make_mesh(MeshSettings(data=2, fsdp=2, tensor=2))
    with jax.set_mesh(mesh):
        spread = jax.jit(lambda x: constrain_rows(x * 2))(jnp.ones((8, 3)))
    assert {shard.data.shape for shard in spread.addressable_shards} == {(2, 3)}


@pytest.mark.parametrize("groups", [(), (4,)])
@pytest.mark.parametrize(("shape", "features"), [((2, 4, 1), 8), ((2, 2, 2), 8), ((2, 4, 1), 6)])
def test_what_is_looked_up_is_the_same_on_every_mesh(shape, features, groups):
    mesh = jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 3)
    rng = np.random.default_rng(0)
    table = jnp.asarray(rng.normal(size=(12, features)), jnp.float32)
    ids = jnp.asarray(rng.integers(0, 12, (8, 3, *groups)))
    weights = jnp.asarray(rng.normal(size=(8, 3, features)), jnp.float32)

    def loss(table):
        return jnp.sum(look_up(table, ids) * weights)

    alone = jax.value_and_grad(loss)(table)
    with jax.set_mesh(mesh):
        placed = jax.device_put(table, jax.P("tensor", "fsdp" if features % shape[1] == 0 else None))
        together = jax.jit(jax.value_and_grad(loss))(placed)
    np.testing.assert_array_equal(look_up(table, ids), table[ids].sum(-2) if groups else table[ids])
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
