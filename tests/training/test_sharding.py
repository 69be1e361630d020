import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from ugf_jax.errors import InputError
from ugf_jax.training import sharding
from ugf_jax.training.sharding import MeshSettings

AXES = (
    (r"query/kernel", ("embed", "heads")),
    (r"blocks/.*/kernel", (None, "embed", "mlp")),
    (r"norm/scale", (None,)),
)
RULES = {"embed": "fsdp", "heads": "tensor", "mlp": "tensor"}


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(MeshSettings(data=2, fsdp=2, tensor=2))


def spec(name, shape, mesh, axes=AXES, rules=RULES):
    return sharding.partition_spec(name, shape, axes, rules, mesh)


def test_minus_one_takes_the_devices_that_are_left():
    assert dict(sharding.make_mesh(MeshSettings(data=-1, fsdp=2, tensor=2)).shape) == {"data": 2, "fsdp": 2, "tensor": 2}


def test_a_mesh_that_does_not_fit_the_devices_is_refused():
    with pytest.raises(InputError, match="data 3 x fsdp 1 x tensor 1 needs 3 devices; there are 8"):
        sharding.make_mesh(MeshSettings(data=3))


def test_two_free_axes_and_unknown_rules_are_refused():
    with pytest.raises(InputError, match="only one of"):
        MeshSettings(data=-1, fsdp=-1).validate("config.mesh")
    with pytest.raises(InputError, match=r"config\.mesh\.rules\.mlp is 'tensors'"):
        MeshSettings(rules={"mlp": "tensors"}).validate("config.mesh")


def test_paths_decide(mesh):
    assert spec("params/attention/query/kernel", (8, 4), mesh) == P("fsdp", "tensor")
    assert spec("opt_state/0/mu/attention/query/kernel", (8, 4), mesh) == P("fsdp", "tensor")
    assert spec("params/norm/scale", (8,), mesh) == P(None)
    assert spec("opt_state/count", (), mesh) == P()


def test_a_dimension_that_does_not_divide_stays_whole(mesh):
    assert spec("params/query/kernel", (8, 5), mesh) == P("fsdp", None)


def test_a_dimension_of_two_names_is_split_over_both_axes_as_far_as_they_divide_it(mesh):
    axes = ((r"output/kernel", (("heads", "embed"), None)), (r"norm/scale", (("heads", "mlp"),)))
    assert spec("params/output/kernel", (8, 8), mesh, axes) == P(("tensor", "fsdp"), None)
    assert spec("params/output/kernel", (6, 8), mesh, axes) == P("tensor", None)
    assert spec("params/output/kernel", (5, 8), mesh, axes) == P(None, None)
    flat = sharding.make_mesh(MeshSettings(data=2, fsdp=4))
    assert spec("params/output/kernel", (8, 8), flat, axes) == P("fsdp", None)
    with pytest.raises(ValueError, match="collide"):
        spec("params/norm/scale", (8,), mesh, axes)


@pytest.mark.parametrize(
    ("name", "shape", "rules", "message"),
    [
        ("params/other/kernel", (8, 4), RULES, "no row"),
        ("params/blocks/query/kernel", (8, 4), RULES, "rows .* match; want exactly one"),
        ("params/query/kernel", (8, 4, 4), RULES, "names 2 dimensions"),
        ("params/query/kernel", (8, 4), {"embed": "fsdp"}, "no sharding rule for logical axis 'heads'"),
        ("params/query/kernel", (8, 4), {"embed": "fsdp", "heads": "fsdp"}, "collide"),
    ],
)
def test_whatever_is_not_decided_once_is_an_error(name, shape, rules, message, mesh):
    with pytest.raises(ValueError, match=message):
        spec(name, shape, mesh, rules=rules)


def test_batches_are_split_over_data_and_fsdp(mesh):
    batch = sharding.to_global({"image": np.arange(8 * 3).reshape(8, 3)}, mesh)["image"]
    assert batch.sharding.spec == P(("data", "fsdp"))
    assert batch.addressable_shards[0].data.shape == (2, 3)
    np.testing.assert_array_equal(jax.device_get(batch), np.arange(24).reshape(8, 3))


def test_tree_shardings_follow_the_table(mesh):
    tree = {"query": {"kernel": jnp.zeros((8, 4))}, "norm": {"scale": jnp.zeros(8)}, "count": jnp.zeros((), jnp.int32)}
    specs = jax.tree.map(lambda s: s.spec, sharding.tree_shardings(tree, AXES, RULES, mesh))
    assert specs == {"query": {"kernel": P("fsdp", "tensor")}, "norm": {"scale": P(None)}, "count": P()}
