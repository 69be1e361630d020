import json
from collections import Counter

import pytest

from ugf_jax.data.shapes.graph import Item, Scene
from ugf_jax.data.shapes.language import Detail
from ugf_jax.data.shapes.requirements import CATEGORIES, Need, Requirement, prompt, prompt_and_scene, required, satisfies, score
from ugf_jax.data.shapes.splits import combinations
from ugf_jax.errors import InputError

PROMPTS = [prompt_and_scene(i, "test") for i in range(350)]
RED_STAR, BLUE_RING = Item("star", "red", 0.2, 0.2, 0.38), Item("ring", "blue", 0.8, 0.2, 0.18)
TWO = Scene("white", (RED_STAR, BLUE_RING))


def test_a_prompt_is_fulfilled_by_its_own_scene():
    for text, requirement, scene in PROMPTS:
        assert all(satisfies(scene, requirement).values()), text
        assert score(scene, requirement) == 1


def test_categories_take_turns_and_each_tests_its_attribute():
    assert Counter(r.category for _, r, _ in PROMPTS) == dict.fromkeys(CATEGORIES, 50)
    for text, requirement, scene in PROMPTS:
        checked = satisfies(scene, requirement)
        assert {"shape", "colour", "count"} <= set(checked)
        extra = {"position": "position", "colour": "background", "size": "size", "relations": "relation"}
        assert set(checked) == {"shape", "colour", "count"} | {extra[k] for k in extra if k == requirement.category}
        assert {"single": (1,), "two": (2,), "counting": (2, 3, 4)}.get(requirement.category, (1, 2)).count(len(scene.objects))
        for need in requirement.needs:
            assert need.shape in text
            assert need.colour in text


def test_prompts_of_a_split_name_its_combinations():
    for split in ("train", "validation", "test"):
        for i in range(70):
            _, requirement, scene = prompt_and_scene(i, split)
            named = {f"{n.colour} {n.shape}" for n in requirement.needs}
            for a, relation, b in requirement.relations:
                pair = requirement.needs[a].shape, requirement.needs[b].shape
                opposite = {"right of": "left of", "below": "above", "smaller than": "larger than"}
                named.add(
                    f"{pair[0]} {relation} {pair[1]}"
                    if relation not in opposite
                    else f"{pair[1]} {opposite[relation]} {pair[0]}"
                )
            splits = {combinations(scene)[name] for name in named}
            assert split in splits
            assert splits <= {"train", split}


def test_prompts_are_functions_of_index_and_split():
    assert prompt(17, "test") == prompt(17, "test") != prompt(17, "validation")
    with pytest.raises(InputError, match="no split"):
        prompt(0, "dev")


def test_json_round_trip():
    for _, requirement, _ in PROMPTS:
        assert Requirement.from_json(json.loads(json.dumps(requirement.to_json()))) == requirement


@pytest.mark.parametrize(
    ("scene", "wrong"),
    [
        (TWO, set()),
        (Scene("white", (BLUE_RING, RED_STAR)), set()),  # the order does not matter
        (Scene("black", TWO.objects), {"background"}),
        (Scene("white", (RED_STAR,)), {"shape", "colour", "count", "size", "position", "relation"}),
        (Scene("white", (*TWO.objects, Item("heart", "pink", 0.5, 0.8, 0.2))), {"count"}),
        (Scene("white", (RED_STAR, Item("ring", "cyan", 0.8, 0.2, 0.18))), {"colour"}),
        (Scene("white", (RED_STAR, Item("circle", "blue", 0.8, 0.2, 0.18))), {"shape"}),
        (Scene("white", (RED_STAR, Item("ring", "blue", 0.8, 0.2, 0.26))), {"size"}),
        (Scene("white", (RED_STAR, Item("ring", "blue", 0.8, 0.5, 0.18))), {"position"}),
        (Scene("white", ()), {"shape", "colour", "count", "size", "position", "relation"}),
    ],
)
def test_each_attribute_is_judged_alone(scene, wrong):
    requirement = required(TWO, "relations", Detail(size=True, position=True, background=True, relation=(0, "left of", 1)))
    found = satisfies(scene, requirement)
    assert {name for name, right in found.items() if not right} == wrong


def test_colours_bound_to_the_wrong_shapes_are_not_right():
    swapped = Scene("white", (Item("star", "blue", 0.2, 0.2, 0.38), Item("ring", "red", 0.8, 0.2, 0.18)))
    found = satisfies(swapped, Requirement("two", (Need("star", "red"), Need("ring", "blue"))))
    assert found["shape"] != found["colour"]


def test_what_a_caption_leaves_open_is_not_required():
    assert satisfies(TWO, required(TWO, "two", Detail())) == {"shape": True, "colour": True, "count": True}


def test_scenes_of_other_prompts_rarely_do():
    right = Counter()
    for i, (_, requirement, _) in enumerate(PROMPTS):
        right["all"] += all(satisfies(PROMPTS[(i + 101) % len(PROMPTS)][2], requirement).values())
    assert right["all"] < 0.05 * len(PROMPTS)
