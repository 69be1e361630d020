import functools
import random
from collections import Counter, defaultdict

from ugf_jax.data.shapes import examples
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, POSITIONS, SHAPES, SIZES, Item, Scene
from ugf_jax.data.shapes.quiz import (
    KINDS,
    TRAIN_ROUNDS,
    Description,
    Question,
    answer,
    ask,
    describe_object,
    in_rounds,
    make_question,
    questions,
)

SCENES = [examples.scene(i) for i in range(800)]
ASKED = defaultdict(list)
for _i, _scene in enumerate(SCENES):
    for _q in questions(_scene, random.Random(_i)):
        ASKED[_q["kind"]].append((_scene, _q["question"], _q["answer"]))

EXAMPLE = Scene(
    "beige",
    (
        Item("square", "red", 0.25, 0.25, 0.38),
        Item("star", "blue", 0.25, 0.25, 0.18, inside=0),
        Item("circle", "green", 0.78, 0.5, 0.26),
        Item("circle", "red", 0.78, 0.8, 0.18),
    ),
)
RED_SQUARE, GREEN, BLUE = Description("square", "red"), Description(colour="green"), Description(colour="blue")


def test_answers_about_a_scene_worked_out_by_hand():
    expected = {
        Question("shape", BLUE): "star",
        Question("shape", Description(colour="red")): "",  # two objects are red
        Question("colour", Description("square")): "red",
        Question("size", GREEN): "medium",
        Question("position", GREEN): "right",
        Question("count"): "4",
        Question("count", Description("circle")): "2",
        Question("count", Description("ring")): "0",
        Question("existence", RED_SQUARE): "yes",
        Question("existence", Description("square", "blue")): "no",
        Question("relation", RED_SQUARE, GREEN, "left of"): "yes",
        Question("relation", GREEN, RED_SQUARE, "left of"): "no",
        Question("relation", BLUE, RED_SQUARE, "inside"): "yes",
        Question("which", other=GREEN, relation="below"): "red circle",
        Question("which", other=GREEN, relation="left of"): "",  # two objects are
        Question("comparison", GREEN, BLUE, "larger than"): "green circle",
        Question("comparison", GREEN, BLUE, "smaller than"): "blue star",
        Question("inside", RED_SQUARE): "blue star",
        Question("inside", GREEN): "nothing",
        Question("background"): "beige",
    }
    assert {q: answer(q, EXAMPLE) for q in expected} == expected


def test_every_kind_is_asked_and_answered_with_the_words_of_its_kind():
    vocabulary = {
        "shape": SHAPES,
        "colour": COLOURS,
        "size": SIZES,
        "position": POSITIONS,
        "count": "01234",
        "existence": ("yes", "no"),
        "relation": ("yes", "no"),
        "background": BACKGROUNDS,
    }
    names = {f"{c} {s}" for c in COLOURS for s in SHAPES}
    assert set(ASKED) == set(KINDS)
    for kind, asked in ASKED.items():
        allowed = set(vocabulary.get(kind, names | {"nothing"}))
        assert {a for _, _, a in asked} <= allowed
        assert len(asked) > 100
        assert all(q[0].isupper() and q.endswith("?") and "  " not in q and "{" not in q for _, q, _ in asked)


def test_yes_and_no_are_balanced_and_nothing_is_not_a_habit():
    for kind in ("existence", "relation"):
        counts = Counter(a for _, _, a in ASKED[kind])
        assert 0.43 < counts["yes"] / counts.total() < 0.57
    answers = Counter(a for _, _, a in ASKED["inside"])
    assert answers["nothing"] < 0.7 * answers.total()


def test_an_answer_changes_with_the_scene():
    rng = random.Random(0)
    agree = 0
    for i, scene in enumerate(SCENES):
        question = make_question(scene, rng, "position")
        if question is not None:
            agree += answer(question, SCENES[(i + 1) % len(SCENES)]) == answer(question, scene)
    assert agree < 0.1 * len(SCENES)


def test_descriptions_single_out_their_object():
    rng = random.Random(0)
    for scene in SCENES:
        for i in range(len(scene.objects)):
            for without in ((), ("shape",), ("colour", "position")):
                description = describe_object(scene, i, rng, without)
                if description is not None:
                    assert description.find(scene) == [i]
                    assert all(getattr(description, name) is None for name in without)


def test_wordings_name_what_they_ask_about():
    question = Question("comparison", RED_SQUARE, GREEN, "larger than")
    text = ask(question, random.Random(0))
    assert "larger" in text
    assert "the red square or the green object" in text
    assert "an orange star" in ask(Question("existence", Description("star", "orange")), random.Random(1))


def test_training_scenes_are_asked_in_rounds_and_never_the_same_twice():
    for number, scene in enumerate(SCENES[:50]):
        once = questions(scene, random.Random(number))
        for split in ("validation", "test"):
            assert in_rounds(functools.partial(questions, scene, random.Random(number)), split) == once
        several = in_rounds(functools.partial(questions, scene, random.Random(number)), "train")
        assert several[: len(once)] == once
        assert len({item["question"] for item in several}) == len(several) <= TRAIN_ROUNDS * len(once)
        kinds = Counter(item["kind"] for item in several)
        assert set(kinds) <= set(KINDS)
        assert max(kinds.values()) == TRAIN_ROUNDS
    assert len(several) > len(once)
