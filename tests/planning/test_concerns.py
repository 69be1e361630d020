"""Concerns name their cause, and nothing is said of a sound layout."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding

from ugf_jax.planning.collectives import Collective
from ugf_jax.planning.concerns import gradient_concerns, layout_concerns, memory_concerns, network_concerns
from ugf_jax.planning.timing import Timing
from ugf_jax.training.sharding import MeshSettings, make_mesh

GATHER = Collective("all-gather", ("fsdp",), "ici", 4, 1e6, 2, "a/b/c/d/e", False, 1e6, "main")
TIMING = Timing(products=0.08, others=0.01, attention=0.005, waiting=0.005, hidden=0.01, cycles_known=1.0)


@pytest.fixture(scope="module")
def mesh():
    return make_mesh(MeshSettings(data=2, fsdp=4))


def parameters(mesh, **shapes):
    return {
        name: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, jax.P(*spec)))
        for name, (shape, spec) in shapes.items()
    }


def test_a_sound_layout_is_no_concern(mesh):
    params = parameters(mesh, kernel=((2, 256, 512), (None, "fsdp")), scale=((2, 256), ()))
    assert layout_concerns(params, mesh.shape) == []
    assert gradient_concerns(params, [GATHER]) == []
    assert memory_concerns(80.0, 100.0) == []
    assert network_concerns(TIMING, [GATHER], 1e6) == []


def test_thin_shards_are_named_with_the_axis(mesh):
    params = parameters(mesh, thin=((2, 64, 512), (None, "fsdp")), second=((96, 8), ("fsdp",)))
    (text,) = layout_concerns(params, mesh.shape)
    assert "16 rows a shard" in text
    assert "and 1 others" in text
    assert "config.mesh.fsdp is 4" in text


def test_what_lies_whole_on_every_device_is_named(mesh):
    params = parameters(mesh, big=((1030, 1030), ()), small=((10, 10), ()))
    (text,) = layout_concerns(params, mesh.shape)
    assert "whole on every device: big (1030, 1030)" in text
    assert "small" not in text


def test_a_gradient_summed_whole_is_named(mesh):
    params = parameters(mesh, table=((2176, 512), (None, "fsdp")), kernel=((2, 256, 512), (None, "fsdp")))
    summed = dataclasses.replace(
        GATHER, kind="all-reduce", axes=("data", "fsdp"), largest=4.0 * 2176 * 512, times=1, shape=(2176, 512)
    )
    (text,) = gradient_concerns(params, [summed])
    assert "whole gradient of table (4 MB)" in text
    assert "data x fsdp" in text
    layer = dataclasses.replace(summed, largest=2.0 * 256 * 512, shape=(512, 256))  # of one scanned layer, transposed
    assert "kernel" in gradient_concerns(params, [layer])[0]
    forward = dataclasses.replace(summed, source="jit(step)/jvp()/reduce_sum")
    of_its_size = dataclasses.replace(summed, shape=(1088, 1024))
    assert gradient_concerns(params, [forward, of_its_size]) == []
    scattered = dataclasses.replace(summed, kind="reduce-scatter")
    over_data = dataclasses.replace(summed, axes=("data",))
    assert gradient_concerns(params, [scattered, over_data]) == []


def test_sums_of_one_gradient_are_one_concern_and_a_mesh_without_groups_is_its_cause(mesh):
    flat = make_mesh(MeshSettings(data=1, fsdp=8))
    layer = dataclasses.replace(GATHER, kind="all-reduce", group=8, largest=2.0 * 256 * 512, shape=(512, 256), source="")
    named = dataclasses.replace(layer, source="transpose(jvp())/dot_general")
    sums, cause = gradient_concerns(parameters(flat, kernel=((2, 256, 512), (None, "fsdp"))), [layer, named])
    assert "4 times a step" in sums
    assert "dot_general" in sums
    assert "config.mesh.fsdp is 8, a whole slice" in cause
    groups = [dataclasses.replace(one, group=4) for one in (layer, named)]
    (sums,) = gradient_concerns(parameters(mesh, kernel=((2, 256, 512), (None, "fsdp"))), groups)
    assert "whole slice" not in sums
    other = [dataclasses.replace(layer, shape=(512, 512))]  # no parameter has this shape
    assert gradient_concerns(parameters(flat, kernel=((2, 256, 512), (None, "fsdp"))), other) == []


def test_memory_that_runs_out_is_said_in_time():
    assert "leaves less than a tenth" in memory_concerns(95.0 * 2**30, 100.0 * 2**30)[0]
    assert "does not fit" in memory_concerns(101.0, 100.0)[0]


def test_waiting_names_the_largest_collective():
    slow = dataclasses.replace(TIMING, waiting=0.1)
    (text,) = network_concerns(slow, [GATHER], 1e9)
    assert "all-gather over fsdp (b/c/d/e)" in text


def test_more_than_gradients_between_slices_is_said():
    between = dataclasses.replace(GATHER, network="dcn", hidden=True)
    assert network_concerns(TIMING, [between], 2e6) == []
    (text,) = network_concerns(TIMING, [between], 1e6)
    assert "2.0 times its gradients" in text
