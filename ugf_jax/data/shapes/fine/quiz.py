"""Questions that only the details of a scene answer, and a few that its objects answer, for comparison."""

import random
from collections.abc import Callable

from ugf_jax.data.shapes import quiz
from ugf_jax.data.shapes.fine.graph import FineScene
from ugf_jax.data.shapes.language import place_phrase
from ugf_jax.data.shapes.sampling import pick

CONTROLS = ("shape", "colour", "position")  # kinds of `ugf_jax.data.shapes.quiz` that are asked as well
_WORDINGS = {
    "letter": ("What letter is on the {}?", "Which letter is on the {}?", "What letter is written on the {}?"),
    "writing": ("What is written next to the {}?", "What does it say next to the {}?", "What text is beside the {}?"),
    "outline": ("What colour is the outline of the {}?", "What color is the outline of the {}?"),
    "dots": ("How many small dots are {}?", "How many small dots do you see {}?"),
    "dot colour": ("What colour are the small dots {}?", "What color are the small dots {}?"),
}

Answered = tuple[str, str]  # what the wording is completed with, and the answer


def questions(fine: FineScene, rng: random.Random) -> tuple[dict[str, str], ...]:
    """One question of each kind that the scene allows, as `{"question", "answer", "kind"}`; details first."""
    asked = []
    for kind, make in _MAKERS.items():
        options = make(fine, rng)
        if options:
            about, answer = pick(rng, options)
            asked.append({"question": pick(rng, _WORDINGS[kind]).format(about), "answer": answer, "kind": kind})
    for kind in CONTROLS:
        question = quiz.make_question(fine.scene, rng, kind)
        if question is not None:
            asked.append({"question": quiz.ask(question, rng), "answer": quiz.answer(question, fine.scene), "kind": kind})
    return tuple(asked)


def _named(fine: FineScene, rng: random.Random, answers: dict[int, str]) -> list[Answered]:
    """The objects, of those with an answer, that a description singles out."""
    found = []
    for number, answer in answers.items():
        description = quiz.describe_object(fine.scene, number, rng)
        if description is not None:
            found.append((description.phrase(rng), answer))
    return found


def _letter(fine: FineScene, rng: random.Random) -> list[Answered]:
    return _named(fine, rng, {w.about: w.text for w in fine.writings if w.on})


def _writing(fine: FineScene, rng: random.Random) -> list[Answered]:
    return _named(fine, rng, {w.about: w.text for w in fine.writings if not w.on})


def _outline(fine: FineScene, rng: random.Random) -> list[Answered]:
    return _named(fine, rng, {o.about: o.colour for o in fine.outlines})


def _dots(fine: FineScene, rng: random.Random) -> list[Answered]:
    dots = [d.position for d in fine.dots()]
    return [(place_phrase(c.position, rng), str(dots.count(c.position))) for c in fine.clusters]


def _dot_colour(fine: FineScene, rng: random.Random) -> list[Answered]:
    return [(place_phrase(c.position, rng), c.colour) for c in fine.clusters if len(c.dots) > 1]


_MAKERS: dict[str, Callable[[FineScene, random.Random], list[Answered]]] = {
    "letter": _letter,
    "writing": _writing,
    "outline": _outline,
    "dots": _dots,
    "dot colour": _dot_colour,
}
KINDS = tuple(_MAKERS)
