"""What is sent: each collective once, over its axes, as often as it runs, on its network."""

import pathlib
import re

import numpy as np
import pytest

from ugf_jax.planning.collectives import find_collectives, groups_of, spanned, summed
from ugf_jax.planning.hlo import parse_program

EXCERPTS = pathlib.Path(__file__).parent / "excerpts"
MESH = {"data": 2, "fsdp": 8, "tensor": 1}


@pytest.fixture(scope="module")
def found():
    program = parse_program((EXCERPTS / "step.hlo").read_text())
    return {(one.kind, one.axes): one for one in find_collectives(program, MESH)}


def test_pieces_of_one_collective_count_once_and_run_with_their_loop(found):
    gather = found["all-gather", ("fsdp",)]
    assert (gather.size, gather.times, gather.group) == (2 * 512 * 512, 5, 8)
    assert gather.hidden
    assert gather.computation == "body"
    assert gather.sent == pytest.approx(5 * 2 * 512 * 512 * 7 / 8)


def test_one_that_is_begun_before_a_loop_and_carried_on_in_it_runs_once():
    text = (EXCERPTS / "step.hlo").read_text()
    begin = text.index("%start.1 (shard.2")
    piece = text[begin : text.index("}\n\n", begin) + 3].replace(".2", ".9").replace("%start.1", "%start.9")
    call = "  %begun = bf16[512,512]{1,0:T(8,128)(2,1)} fusion(%param.1), kind=kCustom, calls=%start.9\n"
    head, entry, rest = text.partition("ENTRY %main (param.1: bf16[64,512]) -> bf16[64,512] {\n")

    def gathers(text):
        return [one for one in find_collectives(parse_program(text), MESH) if one.kind == "all-gather"]

    (gather,) = gathers(head + piece + entry + call + rest)
    assert (gather.size, gather.times, gather.hidden, gather.computation) == (2 * 512 * 512, 1, True, "main")
    (gather,) = gathers(head + piece + entry + rest)
    assert gather.times == 5


def test_collectives_of_one_channel_are_several_if_their_shapes_differ():
    text = (EXCERPTS / "step.hlo").read_text()
    program = parse_program(text)
    whole = [one for one in find_collectives(program, MESH) if one.kind == "all-reduce"]
    shared = parse_program(re.sub(r"(= [^ ]+ all-reduce\(.*channel_id=)\d+", r"\g<1>1", text))
    assert sorted(c.bytes for c in find_collectives(shared, MESH) if c.kind == "all-reduce") == sorted(c.bytes for c in whole)
    assert len(whole) > 1


def test_an_all_reduce_of_which_a_part_is_kept_is_a_reduce_scatter(found):
    scatter = found["reduce-scatter", ("fsdp",)]
    assert (scatter.size, scatter.times) == (2 * 512 * 512, 5)
    assert not scatter.hidden
    assert ("all-reduce", ("fsdp",)) not in found


def test_what_is_summed_over_which_axes(found):
    assert found["all-reduce", ("data",)].bytes == 4 * 64 * 512
    whole = found["all-reduce", ("data", "fsdp")]
    assert whole.largest == 4 * 2176 * 512
    assert whole.sent == pytest.approx(2 * 15 / 16 * whole.size)
    assert found["collective-permute", ("fsdp",)].bytes == 2 * 64 * 512


def test_bytes_of_groups_add_up(found):
    rows = summed(list(found.values()))
    assert sum(row["bytes"] for row in rows) == sum(one.bytes for one in found.values())
    assert all(row["network"] == "ici" for row in rows)


def test_between_slices_hosts_carry_what_is_left_after_scattering_within_them():
    program = parse_program((EXCERPTS / "slices.hlo").read_text())
    collectives = find_collectives(program, {"data": 4, "fsdp": 8, "tensor": 1}, slices=2)
    (between,) = [one for one in collectives if one.network == "dcn"]
    assert (between.kind, between.bytes, between.group) == ("all-reduce", 2 * 32 * 8192, 2)
    within = sorted((one.kind, one.axes) for one in collectives if one.network == "ici")
    assert within == [("all-gather", ("data",)), ("reduce-scatter", ("data",)), ("reduce-scatter", ("fsdp",))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("replica_groups={{0,2},{1,3}}, x", [[0, 2], [1, 3]]),
        ("replica_groups=[2,2]<=[4], x", [[0, 1], [2, 3]]),
        ("replica_groups=[2,2]<=[2,2]T(1,0), x", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'a'}, x", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}, x", [[0, 1], [2, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'a','b'}, x", [[0, 1, 2, 3]]),
        ("replica_groups={}, x", [[0, 1, 2, 3]]),
    ],
)
def test_every_notation_of_groups(text, expected):
    np.testing.assert_array_equal(groups_of(text, 4), expected)


def test_groups_that_leave_a_slice_are_told():
    groups = np.array([[0, 8], [1, 9]])
    assert spanned(groups, MESH, slices=1) == (("data",), False)
    assert spanned(groups, MESH, slices=2) == (("data",), True)
    assert spanned(np.array([[0, 1, 2, 3]]), MESH, slices=2) == (("fsdp",), False)
