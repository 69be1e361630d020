import math
from collections import Counter

import pytest

from ugf_jax.data.shapes import edits
from ugf_jax.data.shapes.drawing import box, radius
from ugf_jax.data.shapes.splits import belongs, combinations
from ugf_jax.errors import InputError

EDITS = [edits.edit(i, "test") for i in range(300)]


def of(kind):
    return [e for e in EDITS if e.kind == kind]


def differing(edit):
    """Attributes in which changed objects differ, where an object was changed."""
    (old,), (new,) = edit.gone, edit.new
    return {n for n in ("shape", "colour", "x", "y", "diameter", "inside") if getattr(old, n) != getattr(new, n)}


def test_kinds_are_about_equally_frequent_and_change_what_they_say():
    counts = Counter(e.kind for e in EDITS)
    assert set(counts) == set(edits.KINDS)
    assert min(counts.values()) > 30
    assert all(differing(e) == {"colour"} for e in of("recolour"))
    assert all(differing(e) == {"diameter"} and e.gone[0].size != e.new[0].size for e in of("resize"))
    assert all(differing(e) <= {"x", "y"} and e.gone[0].position != e.new[0].position for e in of("move"))
    assert all(len(e.gone) == 1 and not e.new and e.after.objects for e in of("remove"))
    assert all(len(e.new) == 1 and not e.gone for e in of("add"))
    assert all(e.before.objects == e.after.objects and e.before.background != e.after.background for e in of("background"))
    assert all(e.before.background == e.after.background for e in EDITS if e.kind != "background")


def test_unchanged_objects_are_the_same_and_all_others_are_not():
    for e in EDITS:
        for i, j in e.unchanged:
            a, b = e.before.objects[i], e.after.objects[j]
            assert (a.shape, a.colour, a.x, a.y, a.diameter) == (b.shape, b.colour, b.x, b.y, b.diameter)
            if a.inside is not None and e.kind != "remove":
                assert a.inside == b.inside
        assert not set(e.gone) & set(e.new)
        assert len(e.unchanged) + len(e.new) == len(e.after.objects)
        assert len(e.unchanged) + len(e.gone) == len(e.before.objects)


def test_instructions_name_what_changes_in_many_ways():
    for e in EDITS:
        assert "{" not in e.instruction
        assert "  " not in e.instruction
        if e.kind in ("recolour", "add"):
            assert e.new[0].colour in e.instruction
        if e.kind == "background":
            assert e.after.background in e.instruction
    for kind in edits.KINDS:
        assert len({e.instruction.lower()[:9] for e in of(kind)}) >= 3
    assert 0.1 < sum(e.instruction[0].islower() for e in EDITS) / len(EDITS) < 0.4


@pytest.mark.parametrize(("height", "width"), [(200, 200), (100, 250)])
def test_results_are_whole_pictures(height, width):
    for e in EDITS:
        for number, item in enumerate(e.after.objects):
            x0, y0, x1, y1 = box(item, height, width)
            assert min(x0, y0, width - x1, height - y1) > 0
            for other in e.after.objects[:number]:
                if item.inside is None and other.inside is None:
                    apart = math.hypot((item.x - other.x) * width, (item.y - other.y) * height) / min(height, width)
                    assert apart > item.diameter * radius(item.shape) + other.diameter * radius(other.shape)


def test_what_is_inside_stays_inside_and_differs_from_what_is_around():
    for e in EDITS:
        for o in e.after.objects:
            if o.inside is not None:
                container = e.after.objects[o.inside]
                assert (o.x, o.y) == (container.x, container.y)
                assert o.colour != container.colour


def test_splits():
    for split in ("train", "validation", "test"):
        for i in range(40):
            e = edits.edit(i, split)
            assert belongs(e.after, split)
            assert set(combinations(e.before).values()) <= {"train", split}
    with pytest.raises(InputError, match="no split 'dev'"):
        edits.edit(0, "dev")
