import random
from collections import Counter, defaultdict

from ugf_jax.data.shapes import examples, fine
from ugf_jax.data.shapes.fine import Cluster, Dot, FineScene, Outline, Writing, letters, quiz
from ugf_jax.data.shapes.graph import COLOURS, Item, Scene

SCENES = [fine.scene(i, "test") for i in range(400)]
ASKED = [fine.questions(s, random.Random(i)) for i, s in enumerate(SCENES)]
BY_KIND = defaultdict(list)
for _asked in ASKED:
    for _q in _asked:
        BY_KIND[_q["kind"]].append(_q)

EXAMPLE = FineScene(
    Scene("white", (Item("square", "red", 0.25, 0.25, 0.38), Item("circle", "green", 0.78, 0.5, 0.26))),
    (Outline(1, "blue", 0.008),),
    (Writing("K", 0, 0.0, 0.0, 0.05, "white"), Writing("TX", 1, 0.0, 0.2, 0.05, "black")),
    (
        Cluster("bottom left", "pink", (Dot(0.2, 0.8, 0.03), Dot(0.3, 0.8, 0.03))),
        Cluster("bottom right", "cyan", ()),
    ),
)


def test_answers_about_a_scene_worked_out_by_hand():
    seen = defaultdict(set)
    for seed in range(60):
        for q in fine.questions(EXAMPLE, random.Random(seed)):
            place = next((p for p in ("left", "right") if p in q["question"]), "") if q["kind"] == "dots" else ""
            seen[q["kind"] + place].add(q["answer"])
    expected = {"letter": {"K"}, "writing": {"TX"}, "outline": {"blue"}, "dotsleft": {"2"}, "dotsright": {"0"}}
    expected |= {"dot colour": {"pink"}, "shape": {"square", "circle"}}
    assert expected.items() <= seen.items()


def test_each_kind_is_asked_often_and_with_its_own_words():
    vocabulary = {"letter": set(letters.LETTERS), "outline": set(COLOURS), "dots": set("012345"), "dot colour": set(COLOURS)}
    for kind in (*fine.KINDS, *quiz.CONTROLS):
        assert len(BY_KIND[kind]) > 0.75 * len(SCENES)
        assert {q["answer"] for q in BY_KIND[kind]} <= vocabulary.get(kind, {q["answer"] for q in BY_KIND[kind]})
        for q in BY_KIND[kind]:
            text = q["question"]
            assert text[0].isupper()
            assert text.endswith("?")
            assert "{" not in text
    assert all(set(q["answer"]) <= set(letters.LETTERS) and len(q["answer"]) <= 3 for q in BY_KIND["writing"])


def test_guessing_the_commonest_answer_gains_little():
    for kind, most in {"letter": 0.13, "writing": 0.06, "outline": 0.18, "dots": 0.25, "dot colour": 0.18}.items():
        counts = Counter(q["answer"] for q in BY_KIND[kind])
        assert counts.most_common(1)[0][1] < most * counts.total(), kind


def test_objects_do_not_tell_the_details():
    """The same scene with other details has other answers: what a coarse picture shows does not give them away."""
    rng = random.Random(0)
    same = defaultdict(list)
    for scene in SCENES[:150]:
        if scene.outlines:
            known = {o.about: o.colour for o in scene.outlines}
            guess = {o.about: rng.choice(list(COLOURS)) for o in scene.outlines}
            same["outline"] += [known[i] == guess[i] for i in known]
    assert sum(same["outline"]) < 0.25 * len(same["outline"])
    assert all(q["kind"] not in fine.KINDS for i in range(5) for q in examples.example(i, max_side=64).questions)
