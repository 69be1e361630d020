"""Rows of activations go over the data axes, where there is a mesh."""

import jax
import jax.numpy as jnp

from ugf_jax.models.constrain import constrain_columns, constrain_rows
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


def test_what_is_looked_up_lies_like_the_table():
    x = jnp.ones((2, 3, 8))
    assert constrain_columns(x) is x
    mesh = jax.make_mesh((2, 4, 1), ("data", "fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 3)
    with jax.set_mesh(mesh):
        spread = jax.jit(lambda x: constrain_columns(x * 2))(x)
        odd = jnp.ones((2, 3, 6))
        assert constrain_columns(odd) is odd  # a table of six features lies whole
    assert spread.sharding.shard_shape(spread.shape) == (1, 3, 2)
