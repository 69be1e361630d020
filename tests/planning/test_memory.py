"""Bytes of one device: shards, what the backward pass keeps, and kinds that add up."""

import types

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from ugf_jax.planning.memory import activations, bytes_of, split
from ugf_jax.training.sharding import MeshSettings, make_mesh


def test_shards_count_not_arrays():
    mesh = make_mesh(MeshSettings(data=2, fsdp=4))
    tree = {
        "split": jax.ShapeDtypeStruct((8, 16), jnp.float32, sharding=NamedSharding(mesh, jax.P(None, "fsdp"))),
        "whole": jax.ShapeDtypeStruct((8,), jnp.bfloat16),
    }
    assert bytes_of(tree) == 4 * 8 * 4 + 2 * 8


def test_what_the_backward_pass_keeps_is_what_recomputing_saves():
    params, x = jnp.zeros((32, 32)), jax.ShapeDtypeStruct((8, 32), jnp.float32)

    def loss(params, x, again):
        def layers(x):
            for _ in range(4):
                x = jnp.tanh(x @ params)
            return x

        return jnp.sum((jax.checkpoint(layers) if again else layers)(x)), None

    kept = activations(lambda p, x: loss(p, x, False), (params, x), rows=8, shards=2)
    again = activations(lambda p, x: loss(p, x, True), (params, x), rows=8, shards=2)
    layer = 4 * 8 * 32 / 2
    assert kept >= 4 * layer
    assert again <= layer


def test_kinds_add_up_to_what_the_compiler_says():
    stats = types.SimpleNamespace(
        argument_size_in_bytes=1000, temp_size_in_bytes=500, output_size_in_bytes=900, alias_size_in_bytes=880
    )
    kinds = {"parameters": jax.ShapeDtypeStruct((200,), jnp.float32), "batch": jax.ShapeDtypeStruct((10,), jnp.float32)}
    found = split(kinds, stats, kept=300.0)
    assert found["parameters"] == 800
    assert (found["activations"], found["temporaries"], found["results"]) == (300, 200, 20)
    assert sum(found.values()) == 1000 + 500 + 20
