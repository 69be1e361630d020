import dataclasses
import itertools
import json

import pytest

from ugf_jax.data.shapes import draw, edits, find
from ugf_jax.data.shapes.edits import Edit, judge
from ugf_jax.data.shapes.graph import Item, Scene

EDITS = [edits.edit(i, "test") for i in range(120)]
STAR, RING = Item("star", "red", 0.22, 0.22, 0.26), Item("ring", "blue", 0.78, 0.22, 0.18)
BEFORE = Scene("white", (STAR, RING))
BLUE_STAR = dataclasses.replace(STAR, colour="blue")
RECOLOUR = Edit("recolour", "Make the star blue.", BEFORE, Scene("white", (BLUE_STAR, RING)), ((1, 1),))
REMOVE = Edit("remove", "Remove the star.", BEFORE, Scene("white", (RING,)), ((1, 0),))
BACKGROUND = Edit("background", "Make it navy.", BEFORE, Scene("navy", BEFORE.objects), ((0, 0), (1, 1)))


def test_the_drawn_result_is_right_and_the_unchanged_picture_is_not():
    for edit in EDITS[:50]:
        after, before = (find(draw(scene, 256, 320)).scene for scene in (edit.after, edit.before))
        assert all(judge(after, edit).values()), edit.instruction
        left_alone = judge(before, edit)
        assert not left_alone["asked"], edit.instruction
        assert left_alone["kept"], edit.instruction


def test_the_result_of_another_edit_is_not_taken_for_this_one():
    for edit, other in itertools.pairwise(EDITS):
        assert not all(judge(other.after, edit).values())


@pytest.mark.parametrize(
    ("edit", "found", "asked", "kept"),
    [
        (RECOLOUR, RECOLOUR.after, True, True),
        (RECOLOUR, BEFORE, False, True),
        (RECOLOUR, Scene("navy", RECOLOUR.after.objects), True, False),
        (RECOLOUR, Scene("white", (BLUE_STAR,)), True, False),
        (RECOLOUR, Scene("white", (BLUE_STAR, dataclasses.replace(RING, y=0.5))), True, False),
        (RECOLOUR, Scene("white", (BLUE_STAR, dataclasses.replace(RING, diameter=0.26))), True, False),
        (RECOLOUR, Scene("white", (BLUE_STAR, dataclasses.replace(RING, x=0.76))), True, True),
        (RECOLOUR, Scene("white", (*BEFORE.objects, dataclasses.replace(BLUE_STAR, x=0.24))), False, True),
        (REMOVE, REMOVE.after, True, True),
        (REMOVE, Scene("white", ()), True, False),
        (REMOVE, BEFORE, False, True),
        (BACKGROUND, BACKGROUND.after, True, True),
        (BACKGROUND, BEFORE, False, True),
        (BACKGROUND, Scene("navy", (STAR,)), True, False),
    ],
)
def test_what_was_asked_and_what_was_kept_are_judged_apart(edit, found, asked, kept):
    judged = judge(found, edit)
    assert (judged["asked"], judged["kept"]) == (asked, kept)


def test_two_alike_need_two_found():
    twins = Scene("white", (STAR, dataclasses.replace(STAR, x=0.25), RING))
    edit = Edit("background", "", twins, Scene("navy", twins.objects), ((0, 0), (1, 1), (2, 2)))
    assert judge(edit.after, edit)["kept"]
    assert not judge(Scene("navy", (STAR, RING, RING)), edit)["kept"]


def test_json_round_trip():
    for edit in EDITS:
        assert Edit.from_json(json.loads(json.dumps(edit.to_json()))) == edit
