"""More devices at the same rows a device: only what is summed over `data` takes longer."""

import pathlib

import pytest

from ugf_jax.errors import InputError
from ugf_jax.planning.chips import find_chip
from ugf_jax.planning.collectives import find_collectives
from ugf_jax.planning.hlo import parse_program
from ugf_jax.planning.scaling import weak_scaling, with_data
from ugf_jax.planning.timing import estimate

MESH = {"data": 2, "fsdp": 8, "tensor": 1}
CHIP = find_chip("v5e")


@pytest.fixture(scope="module")
def program():
    return parse_program((pathlib.Path(__file__).parent / "excerpts" / "step.hlo").read_text())


def test_rings_over_data_grow_and_nothing_else(program):
    collectives = find_collectives(program, MESH)
    found = weak_scaling(program, collectives, CHIP, lambda one: CHIP.link, MESH, [8, 16, 64, 512])
    times = list(found.values())
    assert times == sorted(times)
    assert found[16] == estimate(program, collectives, CHIP, lambda one: CHIP.link).total
    over_data = sum(one.bytes for one in collectives if one.axes == ("data",))
    assert found[8] < found[16]
    assert found[512] - found[16] < 2 * (over_data + sum(one.bytes for one in collectives if "data" in one.axes)) / CHIP.link


def test_alone_nobody_is_summed_with(program):
    over = {one.axes: one for one in find_collectives(program, MESH) if one.kind == "all-reduce"}
    assert with_data(over["data",], 2, 1) is None
    both = with_data(over["data", "fsdp"], 2, 1)
    assert both.group == 8


def test_sizes_must_hold_whole_groups(program):
    with pytest.raises(InputError, match="12 devices are no multiple of fsdp x tensor, 8"):
        weak_scaling(program, [], CHIP, lambda one: 1.0, MESH, [12])
