from collections import Counter

import pytest

from ugf_jax.data.shapes import examples
from ugf_jax.data.shapes.graph import COLOURS, SHAPES
from ugf_jax.data.shapes.splits import SPLITS, combinations, split_of_pair, split_of_relation


def _seen(split, count):
    scenes = [examples.scene(i, split) for i in range(count)]
    return scenes, [set(combinations(s)) for s in scenes]


def test_no_held_out_combination_occurs_in_training():
    _, train = _seen("train", 2500)
    known = set().union(*train)
    for split in ("validation", "test"):
        other = {"validation": "test", "test": "validation"}[split]
        scenes, seen = _seen(split, 500)
        for scene, combos in zip(scenes, seen, strict=True):
            splits = set(combinations(scene).values())
            held = {c for c, s in combinations(scene).items() if s == split}
            assert held
            assert not held & known
            assert other not in splits
            assert combos - held <= {c for c, s in combinations(scene).items() if s == "train"}


def test_every_shape_colour_and_relation_occurs_in_training():
    _, train = _seen("train", 1500)
    known = set().union(*train)
    for shape in SHAPES:
        for colour in COLOURS:
            assert (f"{colour} {shape}" in known) == (split_of_pair(shape, colour) == "train")
        for relation in ("left of", "above", "larger than"):
            assert any(c.startswith(f"{shape} {relation}") for c in known)
        assert any(c.startswith(f"{shape} inside") for c in known)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_combinations_are_spread_evenly(split):
    pairs = [(s, c) for s in SHAPES for c in COLOURS if split_of_pair(s, c) == split]
    assert Counter(s for s, _ in pairs) == dict.fromkeys(SHAPES, 1)
    assert max(Counter(c for _, c in pairs).values()) == 1
    for relation in ("left of", "above", "larger than"):
        held = [(a, b) for a in SHAPES for b in SHAPES if split_of_relation(a, relation, b) == split]
        assert 2 <= len(held) <= 4


def test_kinds_of_scene_are_as_frequent_in_every_split():
    shares = {}
    for split in SPLITS:
        scenes = [examples.scene(i, split) for i in range(600)]
        shares[split] = sum(len(s.objects) == 1 for s in scenes) / 600
    assert all(0.10 < share < 0.20 for share in shares.values())
