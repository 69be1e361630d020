"""The time of a step: what is added, what runs side by side, and how kernels are counted."""

import dataclasses
import pathlib

import pytest

from ugf_jax.planning.chips import find_chip
from ugf_jax.planning.collectives import find_collectives
from ugf_jax.planning.hlo import parse_program
from ugf_jax.planning.timing import KERNEL, LOOSE, estimate, has_product, kernel_flops

MESH = {"data": 2, "fsdp": 8, "tensor": 1}
CHIP = find_chip("v5e")


@pytest.fixture(scope="module")
def program():
    return parse_program((pathlib.Path(__file__).parent / "excerpts" / "step.hlo").read_text())


@pytest.fixture(scope="module")
def collectives(program):
    return find_collectives(program, MESH)


def test_arithmetic_is_the_compilers_cycles_times_the_loops(program):
    found = estimate(program, [], CHIP, lambda one: 1.0)
    assert found.products == pytest.approx(5 * 90_000 / CHIP.clock)
    assert found.others == pytest.approx(15 * 2_500 / CHIP.clock / LOOSE)
    assert found.waiting == found.hidden == 0
    assert found.total == pytest.approx(found.products + found.others + found.attention)


def test_an_attention_kernel_counts_the_blocks_that_it_visits(program):
    kernel = next(one for one in program.computations["body"] if one.name == "splash_mha_fwd.3")
    blocks = 4 * 5 / 2  # of 512 × 512, on and below the diagonal of 4 × 4
    assert kernel_flops(kernel) == 2 * 2 * 4 * blocks * 512 * 512 * 128
    found = estimate(program, [], CHIP, lambda one: 1.0)
    assert found.attention == pytest.approx(5 * kernel_flops(kernel) / (KERNEL * CHIP.flops))
    other = dataclasses.replace(kernel, rest=kernel.rest.replace("tpu_custom_call", "Sharding"))
    assert kernel_flops(other) == 0
    unmasked = dataclasses.replace(kernel, rest=kernel.rest.replace("s8[1,1,1]{2,1,0}, ", ""))
    assert kernel_flops(unmasked) == 2 * 2 * 4 * 2048 * 2048 * 128  # not told which blocks to leave out


def test_one_backward_kernel_is_five_products_and_one_of_two_is_four(program):
    kernel = next(one for one in program.computations["body"] if one.name == "splash_mha_fwd.3")
    product = kernel_flops(kernel) / 2
    name, rest = "splash_mha_dkv.3", kernel.rest.replace("_fwd_", "_dkv_")
    alone = dataclasses.replace(kernel, name=name, rest=rest, shape="(bf16[4,2048,128]{2,1,0}, bf16[4,2048,128]{2,1,0})")
    assert kernel_flops(alone) == 4 * product
    parts = "(bf16[4,4,2048,128]{3,2,1,0}, bf16[4,2048,128]{2,1,0}, bf16[4,2048,128]{2,1,0})"
    assert kernel_flops(dataclasses.replace(alone, shape=parts)) == 5 * product


def test_only_what_multiplies_is_a_product(program):
    found = {one.name: has_product(program, one) for one in program.computations["body"] if one.opcode == "fusion"}
    assert found == {"fusion.6": False, "fusion.8": True, "fusion.7": True, "fusion.5": False}


def test_a_quick_network_is_hidden_and_a_slow_one_is_waited_for(program, collectives):
    gather = next(one for one in collectives if one.hidden and one.kind == "all-gather")
    alone = estimate(program, [], CHIP, lambda one: 1.0)
    covered = (alone.products + alone.attention) / 5  # what one run of the loop's body computes
    quick = estimate(program, [gather], CHIP, lambda one: 2 * gather.size / covered)
    assert quick.waiting == 0
    assert quick.hidden > 0
    rate = gather.size / 100 / covered
    slow = estimate(program, [gather], CHIP, lambda one: rate)
    assert slow.waiting == pytest.approx(5 * (gather.sent / 5 / rate - covered))


def test_a_collective_without_a_start_of_its_own_is_always_waited_for(program, collectives):
    scatter = next(one for one in collectives if one.kind == "reduce-scatter")
    found = estimate(program, [scatter], CHIP, lambda one: 1e9)
    assert found.waiting == pytest.approx(scatter.sent / 1e9)
    assert found.hidden == 0
    twice = estimate(program, [scatter, dataclasses.replace(scatter)], CHIP, lambda one: 1e9)
    assert twice.waiting == pytest.approx(2 * found.waiting)
