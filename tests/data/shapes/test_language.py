import random
import re

import pytest

from ugf_jax.data.shapes import examples
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, SHAPES, Item, Scene
from ugf_jax.data.shapes.language import NUMBERS, Detail, captions, describe, noun, random_detail, with_article

SCENES = [examples.scene(i) for i in range(300)]
CAPTIONS = [(s, c) for i, s in enumerate(SCENES) for c in captions(s, random.Random(i))]
_OBJECT = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})(es|s)?\b")


def _objects(caption):
    """Every (colour, shape) that a caption names, as often as it says, read without regard to how captions are made."""
    named = []
    for match in _OBJECT.finditer(caption):
        before = caption[: match.start()].lower().split()
        while before[-1] in ("small", "little", "medium", "medium-sized", "large", "big"):
            before.pop()
        count = 1 if before[-1] in ("a", "an") else NUMBERS.index(before[-1])
        assert (count > 1) == (match[3] is not None), caption
        named += [(match[1], match[2])] * count
    return sorted(named)


def test_every_caption_names_every_object_and_no_other():
    for scene, caption in CAPTIONS:
        assert _objects(caption) == sorted((o.colour, o.shape) for o in scene.objects), caption


def test_grammar():
    for _, caption in CAPTIONS:
        text = caption.lower()
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), caption
        assert not re.search(r"  |\s[,.]|,,|\.\.", text), caption
        assert not re.search(r"there is (two|three|four)|there are an? ", text), caption
        assert not re.search(r"crosss|crosseses|crosss", text), caption
        assert caption.endswith(".") == caption[0].isupper(), caption


def test_captions_of_a_scene_differ_and_vary():
    for i, scene in enumerate(SCENES):
        found = captions(scene, random.Random(i))
        assert len(set(found)) == len(found) >= 4
    first_words = {c.split()[0].lower() for _, c in CAPTIONS}
    assert {"a", "an", "there", "two", "this"} <= first_words


def test_backgrounds_are_named_as_they_are():
    for scene, caption in CAPTIONS:
        named = [b for b in BACKGROUNDS if f"{b} background" in caption]
        assert named in ([], [scene.background])


def test_full_detail_says_size_position_and_background():
    scene = Scene("navy", (Item("star", "orange", 0.2, 0.8, 0.38), Item("cross", "pink", 0.8, 0.5, 0.18)))
    for seed in range(20):
        text = describe(scene, random.Random(seed), Detail(size=True, position=True, background=True), "")
        assert re.search(r"a (large|big) orange star in the (bottom|lower) left", text)
        assert re.search(r"a (small|little) pink cross on the right", text)
        assert text.endswith("navy background")


@pytest.mark.parametrize("relation", ["left of", "above", "larger than"])
def test_a_stated_relation_stands_between_its_objects(relation):
    first, second = Item("star", "red", 0.2, 0.2, 0.38), Item("ring", "blue", 0.5, 0.5, 0.18)
    scene = Scene("white", (first, second, Item("heart", "pink", 0.8, 0.8, 0.18)))
    for seed in range(10):
        text = describe(scene, random.Random(seed), Detail(relation=(0, relation, 1)), "")
        words = {"left of": "left of", "above": "above", "larger than": "(larger|bigger) than"}[relation]
        assert re.search(rf"^a red star (to the )?{words} a blue ring, and a pink heart$", text)


def test_enclosed_objects_are_always_said_to_be_inside():
    for i, scene in enumerate(SCENES):
        for caption in captions(scene, random.Random(i)):
            inside = any(word in caption for word in (" inside ", " within ", " containing "))
            assert inside == any(o.inside is not None for o in scene.objects), caption


def test_random_detail_states_only_what_holds():
    for i, scene in enumerate(SCENES):
        stated = random_detail(scene, random.Random(i)).relation
        assert stated is None or scene.holds(*stated)


def test_words():
    assert [noun("cross", 2), noun("star", 3), noun("ring")] == ["crosses", "stars", "ring"]
    assert [with_article("orange ring"), with_article("red ring")] == ["an orange ring", "a red ring"]
