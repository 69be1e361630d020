"""What experiments/plans promises: configs that exist, plans that fit, no gradient summed whole, figures that add up."""

import importlib.util
import json
import pathlib

import pytest

EXPERIMENTS = pathlib.Path(__file__).parent.parent.parent / "experiments"
PLANS = sorted((EXPERIMENTS / "plans").glob("*.json"))
PODS = {"ugf_1b": 0.5, "ugf_7b": 0.55}  # utilisation on v5p that is wanted


def plan_of(path):
    return json.loads(path.read_text())


def config_of(name):
    """A shipped config."""
    found = EXPERIMENTS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(found.stem, found)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def test_pod_configs_have_plans():
    assert {path.stem for path in PLANS} >= {f"{name}_v5p-8x8x8" for name in PODS}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_is_of_its_config_and_fits(path):
    plan = plan_of(path)
    name, _, topology = path.stem.rpartition("_")
    config = config_of(name)
    assert plan["stage"] == config.stage
    assert plan["steps"] == config.steps
    assert plan["topology"].replace(" ", "").replace(":", "-") == topology
    assert plan["fits"]
    for program in plan["programs"]:
        memory = program["memory"]
        assert sum(v for k, v in memory.items() if k not in ("total", "room")) == pytest.approx(memory["total"])
        assert memory["total"] <= 0.9 * memory["room"]
        parts = [program["timing"][name] for name in ("products", "others", "attention", "waiting")]
        assert sum(parts) == pytest.approx(program["timing"]["total"])
    assert plan["devices"] == plan["mesh"]["data"] * plan["mesh"]["fsdp"] * plan["mesh"]["tensor"]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_between_slices_pass_no_more_than_gradients_and_chips_are_used_well(path):
    plan = plan_of(path)
    assert all(program["between_slices"]["ratio"] <= 1.1 for program in plan["programs"])
    name, _, topology = path.stem.rpartition("_")
    if topology == "v5p-8x8x8":
        assert plan["mfu"] >= PODS[name]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_no_gradient_is_summed_whole(path):
    plan = plan_of(path)
    assert not any("whole gradient" in concern for concern in plan["concerns"])
    assert plan["concerns"] == [] or plan["topology"] == "2 x v5e:16x16"  # which waits for its network
