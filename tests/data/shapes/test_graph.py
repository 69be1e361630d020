import json
import math

import pytest

from ugf_jax.data.shapes import examples
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, INVERSE, LEVEL, SHAPES, SIZES, Item, Scene
from ugf_jax.data.shapes.segment import to_lab

SCENES = [examples.scene(i) for i in range(300)]


def test_colours_are_well_apart():
    names = [*COLOURS, *BACKGROUNDS]
    lab = to_lab([[{**COLOURS, **BACKGROUNDS}[n] for n in names]])[0]
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            least = 41 if a in COLOURS and b in COLOURS else 26 if a in BACKGROUNDS and b in BACKGROUNDS else 39
            assert math.dist(lab[i], lab[j]) > least, (a, b)


def test_json_round_trip_keeps_everything():
    for scene in SCENES:
        assert Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene


@pytest.mark.parametrize("diameter", [d for limits in SIZES.values() for d in limits])
def test_every_generated_diameter_has_its_size_class(diameter):
    low, high = SIZES[Item("star", "red", 0.5, 0.5, diameter).size]
    assert low <= diameter <= high


def test_relations_agree_with_their_inverses():
    for scene in SCENES:
        held = set(scene.relations())
        assert held == {(j, INVERSE[r], i) for i, r, j in held}
        assert not {(i, r, j) for i, r, j in held} & {(j, r, i) for i, r, j in held}


def test_relations_and_names_follow_from_the_numbers():
    scene = Scene("white", (Item("circle", "red", 0.2, 0.5, 0.38), Item("star", "blue", 0.8, 0.52, 0.18)))
    assert scene.relations() == [(0, "left of", 1), (0, "larger than", 1), (1, "right of", 0), (1, "smaller than", 0)]
    assert [o.position for o in scene.objects] == ["left", "right"]


def test_generated_positions_and_relations_have_clear_margins():
    for scene in SCENES:
        for a in scene.objects:
            assert all(abs(v - limit) > 0.07 for v in (a.x, a.y) for limit in (0.36, 0.64))
            for b in scene.objects:
                assert all(abs(abs(d) - LEVEL) > 0.02 for d in (a.x - b.x, a.y - b.y))


def test_every_value_occurs():
    objects = [o for s in SCENES for o in s.objects]
    assert {o.shape for o in objects} == set(SHAPES)
    assert {o.colour for o in objects} == set(COLOURS)
    assert {o.size for o in objects} == set(SIZES)
    assert {s.background for s in SCENES} == set(BACKGROUNDS)
