"""Rows of activations go over the data axes, where there is a mesh."""

import jax
import jax.numpy as jnp

from ugf_jax.models.constrain import constrain_rows
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
