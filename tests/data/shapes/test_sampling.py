import random
from collections import Counter

import pytest

from ugf_jax.data.shapes.sampling import CONTAINERS, KINDS, pick, random_scene, scene_in_split
from ugf_jax.errors import InputError


def test_pick_is_fair():
    rng = random.Random(0)
    counts = Counter(pick(rng, "abcd") for _ in range(4000))
    assert set(counts) == set("abcd")
    assert min(counts.values()) > 900


@pytest.mark.parametrize(("kind", "allowed"), [("single", {1}), ("pair", {2}), ("counting", {2, 3, 4}), ("inside", {2, 3, 4})])
def test_kinds_have_their_numbers_of_objects(kind, allowed):
    rng = random.Random(1)
    assert {len(random_scene(rng, kind).objects) for _ in range(200)} == allowed


def test_counting_repeats_one_look():
    rng = random.Random(2)
    for _ in range(100):
        looks = Counter((o.shape, o.colour) for o in random_scene(rng, "counting").objects)
        assert max(looks.values()) >= 2
        assert len(looks) <= 2


def test_enclosed_objects_are_small_centred_and_of_another_colour():
    rng = random.Random(3)
    for _ in range(100):
        scene = random_scene(rng, "inside")
        (inner,) = (o for o in scene.objects if o.inside is not None)
        outer = scene.objects[inner.inside]
        assert (outer.size, inner.size) == ("large", "small")
        assert outer.shape in CONTAINERS
        assert outer.colour != inner.colour
        assert (outer.x, outer.y) == (inner.x, inner.y)


def test_the_first_attribute_does_not_give_the_second_away():
    rng = random.Random(4)
    pairs = [random_scene(rng, "pair").objects for _ in range(1000)]
    for attribute in ("shape", "colour", "size"):
        same = sum(getattr(a, attribute) == getattr(b, attribute) for a, b in pairs) / len(pairs)
        assert 0.15 < same < 0.6


def test_the_same_seed_gives_the_same_scene():
    for kind in KINDS:
        assert scene_in_split(random.Random(kind), "test", kind) == scene_in_split(random.Random(kind), "test", kind)


def test_unknown_split_is_refused():
    with pytest.raises(InputError, match="no split 'dev'"):
        scene_in_split(random.Random(0), "dev")
