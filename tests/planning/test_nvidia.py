"""Plans for GPUs: arithmetic on the mesh."""

import importlib.util
import json
import pathlib

import jax
import pytest

from ugf_jax.errors import InputError
from ugf_jax.planning.nvidia import find_traffic, nvidia_plan
from ugf_jax.planning.topology import parse_topology
from ugf_jax.training.sharding import MeshSettings, make_mesh


@pytest.fixture(scope="module")
def values():
    spec = importlib.util.spec_from_file_location("small_config", pathlib.Path(__file__).parent / "small_config.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def test_a_plan_for_two_nodes(values):
    plan = nvidia_plan(values, parse_topology("h100:2x8"))
    json.dumps(plan, allow_nan=False)
    (step,) = plan["programs"]
    assert plan["fits"]
    assert plan["mfu"] <= 0.45  # of 0.6, a third of the work is done again
    assert {row["network"] for row in step["collectives"]} == {"nvlink", "network"}
    assert step["memory"]["optimizer"] >= 2 * step["memory"]["parameters"]


def test_axes_that_leave_a_node_are_slow():
    mesh = make_mesh(MeshSettings(data=2, fsdp=4))
    params = {"kernel": jax.ShapeDtypeStruct((64, 64), "float32", sharding=jax.NamedSharding(mesh, jax.P("fsdp")))}
    inside, outside = (find_traffic(params, mesh.shape, parse_topology(text)) for text in ("h100:1x8", "h100:4x2"))
    assert [one.network for one in inside] == ["nvlink"] * 3
    assert [one.network for one in outside] == ["network"] * 3
    assert sum(one.seconds for one in inside) < sum(one.seconds for one in outside) / 5
    summed = next(one for one in inside if one.axis == "data")
    assert summed.sent == 2 * 0.5 * 2 * 64 * 64 / 4  # the shard, in bfloat16


def test_a_mesh_that_does_not_fit_is_refused(values):
    with pytest.raises(InputError, match="needs 16 devices; there are 8"):
        nvidia_plan(values, parse_topology("h100:1x8"))
