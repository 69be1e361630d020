"""Questions about a scene, and their answers worked out from the scene graph alone.

A question is a small structure, so that the same program that answers it about the true scene can answer it about a scene found
in an image. Yes/no questions choose the answer first, by a fair coin, and then look for a question that has it.
"""

import dataclasses
import random
from collections.abc import Callable, Sequence

from ugf_jax.data.shapes.graph import COLOURS, POSITIONS, SHAPES, Item, Scene
from ugf_jax.data.shapes.language import noun, place_phrase, relation_phrase, size_word
from ugf_jax.data.shapes.sampling import pick

_PLANE = ("left of", "right of", "above", "below")
_DESCRIBED_BY = (
    ("shape",),
    ("colour",),
    ("shape", "colour"),
    ("size", "shape", "colour"),
    ("shape", "colour", "position"),
    ("position",),
)
TRAIN_ROUNDS = 4  # questions cost little beside a picture, and a model learns as much from each
_NOTHING = 0.15  # share of scenes that are asked what is inside an object that is empty

Asked = dict[str, str]  # question, answer, kind


@dataclasses.dataclass(frozen=True)
class Description:
    """Tells objects apart by what is set; nothing set describes every object."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None
    position: str | None = None

    def fits(self, item: Item) -> bool:
        """Whether an object answers the description."""
        return (
            self.shape in (None, item.shape)
            and self.colour in (None, item.colour)
            and (self.size is None or self.size == item.size)
            and (self.position is None or self.position == item.position)
        )

    def find(self, scene: Scene) -> list[int]:
        """Numbers of the objects that fit."""
        return [i for i, item in enumerate(scene.objects) if self.fits(item)]

    def phrase(self, rng: random.Random, count: int = 1) -> str:
        """In words, without an article: `large red circle`, `objects in the top left`."""
        words = [] if self.size is None else [size_word(self.size, rng)]
        words += [] if self.colour is None else [self.colour]
        words.append(noun(self.shape or "object", count))
        words += [] if self.position is None else [place_phrase(self.position, rng)]
        return " ".join(words)


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
      kind: one of `KINDS`.
      about: the object or objects in question.
      other: the second object, where the kind has one.
      relation: one of `RELATIONS`, where the kind has one.
    """

    kind: str
    about: Description = Description()
    other: Description = Description()
    relation: str | None = None


def answer(question: Question, scene: Scene) -> str:
    """The answer in one to three words, or "" where the question does not apply (no such object, or more than one).

    Raises:
      KeyError: the kind of question is not one of `KINDS`.
    """
    return _ANSWERS[question.kind](question, scene)


def ask(question: Question, rng: random.Random) -> str:
    """The question in words, in one of several paraphrases."""
    words = {
        "one": question.about.phrase(rng),
        "many": question.about.phrase(rng, count=2),
        "other": question.other.phrase(rng),
        "relation": "" if question.relation is None else relation_phrase(question.relation, rng),
        "comparative": (question.relation or "").removesuffix(" than"),
    }
    words["an"] = "an" if words["one"][0] in "aeiou" else "a"
    return pick(rng, _WORDINGS[question.kind]).format(**words)


def in_rounds(asked: Callable[[], Sequence[Asked]], split: str) -> tuple[Asked, ...]:
    """What is asked about a scene of a split: once for evaluation, for training `TRAIN_ROUNDS` times, each question once."""
    rounds = TRAIN_ROUNDS if split == "train" else 1
    return tuple({item["question"]: item for _ in range(rounds) for item in asked()}.values())


def questions(scene: Scene, rng: random.Random) -> tuple[Asked, ...]:
    """One question of each kind that the scene allows, as `{"question", "answer", "kind"}`."""
    asked = []
    for kind in KINDS:
        question = make_question(scene, rng, kind)
        if question is not None:
            asked.append({"question": ask(question, rng), "answer": answer(question, scene), "kind": kind})
    return tuple(asked)


def make_question(scene: Scene, rng: random.Random, kind: str) -> Question | None:
    """A random question of a kind, or None where the scene allows none with an answer."""
    candidates = _MAKERS[kind](scene, rng)
    while candidates:
        question = candidates.pop(int(rng.random() * len(candidates)))
        if answer(question, scene):
            return question
    return None


def describe_object(scene: Scene, number: int, rng: random.Random, without: tuple[str, ...] = ()) -> Description | None:
    """A description that fits one object only and does not use the attributes `without`; None where there is none."""
    item = scene.objects[number]
    options: list[Description] = []
    for names in _DESCRIBED_BY:
        description = Description(**{n: getattr(item, n) for n in names if n not in without})
        if description != Description() and description not in options and description.find(scene) == [number]:
            options.append(description)
            if len(options) == 3:
                break
    return pick(rng, options) if options else None


def _one(description: Description, scene: Scene) -> int | None:
    found = description.find(scene)
    return found[0] if len(found) == 1 else None


def _attribute(question: Question, scene: Scene) -> str:
    number = _one(question.about, scene)
    return "" if number is None else getattr(scene.objects[number], question.kind)


def _about_attribute(kind: str) -> Callable[[Scene, random.Random], list[Question]]:
    def make(scene: Scene, rng: random.Random) -> list[Question]:
        found = [describe_object(scene, i, rng, without=(kind,)) for i in range(len(scene.objects))]
        return [Question(kind, d) for d in found if d is not None]

    return make


def _count(question: Question, scene: Scene) -> str:
    return str(len(question.about.find(scene)))


def _about_count(scene: Scene, rng: random.Random) -> list[Question]:
    item = pick(rng, scene.objects)
    options = [
        Description(),
        Description(shape=item.shape),
        Description(colour=item.colour),
        Description(item.shape, item.colour),
    ]
    if rng.random() < 0.1:  # now and then there is none
        options = [Description(pick(rng, SHAPES), pick(rng, tuple(COLOURS)))]
    return [Question("count", option) for option in options]


def _yes_no(question: Question, scene: Scene) -> str:
    return "yes" if question.about.find(scene) else "no"


def _about_existence(scene: Scene, rng: random.Random) -> list[Question]:
    """Those with the answer no change one attribute of an object that is there."""
    wanted = pick(rng, ("yes", "no"))
    options: list[Question] = []
    while not options:
        item = pick(rng, scene.objects)
        attribute = pick(rng, ("shape", "colour", "position"))
        values = {"shape": SHAPES, "colour": tuple(COLOURS), "position": POSITIONS}[attribute]
        value = getattr(item, attribute) if wanted == "yes" else pick(rng, values)
        base = Description(item.shape, item.colour, position=item.position if attribute == "position" else None)
        options = [Question("existence", dataclasses.replace(base, **{attribute: value}))]
        if wanted == "no" and attribute != "position":
            options += [Question("existence", Description(a.shape, b.colour)) for a in scene.objects for b in scene.objects]
        options = [q for q in options if answer(q, scene) == wanted]
    return options


def _relation(question: Question, scene: Scene) -> str:
    first, second = _one(question.about, scene), _one(question.other, scene)
    if first is None or second is None or question.relation is None:
        return ""
    return "yes" if scene.holds(first, question.relation, second) else "no"


def _about_relation(scene: Scene, rng: random.Random) -> list[Question]:
    """Each relation that holds is as likely to be asked as it is, with yes, as with its objects exchanged, with no."""
    wanted = pick(rng, ("yes", "no"))
    names = [describe_object(scene, i, rng, ("position", "size")) for i in range(len(scene.objects))]
    stated = []
    for i, relation, j in scene.relations():
        first, second = (names[i], names[j]) if wanted == "yes" else (names[j], names[i])
        if first and second and relation != "around":
            stated.append(Question("relation", first, second, relation))
    return stated


def _which(question: Question, scene: Scene) -> str:
    """The object in the relation, where it is the only one."""
    second = _one(question.other, scene)
    if second is None or question.relation is None:
        return ""
    numbers = [i for i in range(len(scene.objects)) if i != second and scene.holds(i, question.relation, second)]
    return _name(scene, numbers[0]) if len(numbers) == 1 else ""


def _about_which(scene: Scene, rng: random.Random) -> list[Question]:
    others = [describe_object(scene, i, rng, ("position",)) for i in range(len(scene.objects))]
    return [Question("which", other=d, relation=r) for d in others if d is not None for r in _PLANE]


def _comparison(question: Question, scene: Scene) -> str:
    first, second = _one(question.about, scene), _one(question.other, scene)
    if first is None or second is None or question.relation is None:
        return ""
    larger = first if scene.holds(first, question.relation, second) else second
    return _name(scene, larger) if scene.holds(larger, question.relation, first + second - larger) else ""


def _about_comparison(scene: Scene, rng: random.Random) -> list[Question]:
    names = [Description(o.shape, o.colour) for o in scene.objects]
    pairs = [(a, b) for a in names for b in names if a != b]
    return [Question("comparison", a, b, r) for a, b in pairs for r in ("larger than", "smaller than")]


def _inside(question: Question, scene: Scene) -> str:
    container = _one(question.about, scene)
    if container is None:
        return ""
    numbers = [i for i, o in enumerate(scene.objects) if o.inside == container]
    return _name(scene, numbers[0]) if len(numbers) == 1 else "" if numbers else "nothing"


def _about_inside(scene: Scene, rng: random.Random) -> list[Question]:
    """Now and then about an object with nothing inside it, so that "nothing" is about as frequent as something."""
    full = {o.inside for o in scene.objects if o.inside is not None}
    if rng.random() < _NOTHING:
        full = {i for i, o in enumerate(scene.objects) if i not in full and o.inside is None}
    found = [describe_object(scene, i, rng, ("position",)) for i in full]
    return [Question("inside", d) for d in found if d is not None]


def _background(question: Question, scene: Scene) -> str:
    return scene.background


def _name(scene: Scene, number: int) -> str:
    return f"{scene.objects[number].colour} {scene.objects[number].shape}"


_ANSWERS: dict[str, Callable[[Question, Scene], str]] = {
    "shape": _attribute,
    "colour": _attribute,
    "size": _attribute,
    "position": _attribute,
    "count": _count,
    "existence": _yes_no,
    "relation": _relation,
    "which": _which,
    "comparison": _comparison,
    "inside": _inside,
    "background": _background,
}
_MAKERS: dict[str, Callable[[Scene, random.Random], list[Question]]] = {
    **{kind: _about_attribute(kind) for kind in ("shape", "colour", "size", "position")},
    "count": _about_count,
    "existence": _about_existence,
    "relation": _about_relation,
    "which": _about_which,
    "comparison": _about_comparison,
    "inside": _about_inside,
    "background": lambda scene, rng: [Question("background")],
}
_WORDINGS: dict[str, tuple[str, ...]] = {
    "shape": ("What shape is the {one}?", "Which shape is the {one}?"),
    "colour": ("What colour is the {one}?", "What color is the {one}?", "Which colour does the {one} have?"),
    "size": ("What size is the {one}?", "How big is the {one}?", "How large is the {one}?"),
    "position": ("Where is the {one}?", "In which part of the picture is the {one}?"),
    "count": ("How many {many} are there?", "How many {many} are in the picture?", "How many {many} do you see?"),
    "existence": ("Is there {an} {one}?", "Does the picture show {an} {one}?", "Do you see {an} {one}?"),
    "relation": ("Is the {one} {relation} the {other}?",),
    "which": ("What is {relation} the {other}?", "Which object is {relation} the {other}?"),
    "comparison": (
        "Which is {comparative}, the {one} or the {other}?",
        "Which one is {comparative}: the {one} or the {other}?",
    ),
    "inside": ("What is inside the {one}?", "What does the {one} contain?"),
    "background": ("What colour is the background?", "What is the colour of the background?", "What color is the background?"),
}
KINDS = tuple(_ANSWERS)
