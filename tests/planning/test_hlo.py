"""The text of programs: what is in them, how often it runs, and what the parser does not trip over."""

import pathlib

import pytest

from ugf_jax.planning.hlo import arrays_of, parse_program

EXCERPTS = pathlib.Path(__file__).parent / "excerpts"


@pytest.fixture(scope="module")
def program():
    return parse_program((EXCERPTS / "step.hlo").read_text())


def test_loops_run_as_often_as_their_condition_says(program):
    assert program.loops == {"body": 5, "inner": 3}
    assert program.endless == 0
    assert program.runs() == {"main": 1, "body": 5, "inner": 15}


def test_what_is_fused_is_reached_only_on_demand(program):
    assert "async_collective_fusion.1" not in program.runs()
    assert program.runs(fused=True)["async_collective_fusion.1"] == 5


def test_line_breaks_inside_attributes_end_no_computation(program):
    kernel = next(one for one in program.computations["body"] if one.name.startswith("splash"))
    assert "block_q" in kernel.rest
    assert kernel.source.endswith("splash_mha_fwd_segmented_residuals")
    assert program.computations["body"][-1].root


def test_shapes_and_operands(program):
    found = {one.name: one for one in program.computations["body"]}
    assert found["splash_mha_fwd.3"].arrays[0] == (4, (2048, 128))
    assert found["fusion.7"].operands == ["gte.1", "gte.2"]
    assert found["fusion.7"].size == 2 * 2048 * 512
    assert arrays_of("(bf16[2,3]{1,0:T(8,128)(2,1)S(1)}, pred[], f8e4m3fn[4])") == [(2, (2, 3)), (1, ()), (1, (4,))]


def test_a_loop_of_unknown_length_runs_as_often_as_one_is_told():
    text = (EXCERPTS / "step.hlo").read_text().replace("direction=LT", "direction=NE")
    assert parse_program(text).endless == 2
    assert parse_program(text, unknown=7).loops == {"body": 7, "inner": 7}


def test_a_text_without_a_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        parse_program("HloModule nothing")
