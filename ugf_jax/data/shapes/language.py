"""Captions: a scene in words, with every object mentioned, in many paraphrases.

A caption may leave out sizes, positions, relations and the background, but never an object, so that a prompt in the same words
asks for exactly the objects that it names.
"""

import dataclasses
import random
from collections.abc import Sequence

from ugf_jax.data.shapes.graph import Item, Scene
from ugf_jax.data.shapes.sampling import pick

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_SIZES = {"small": ("small", "small", "little"), "medium": ("medium", "medium-sized"), "large": ("large", "large", "big")}
_POSITIONS = {
    "top left": ("in the top left", "in the top left corner", "in the upper left"),
    "top": ("at the top", "at the top centre"),
    "top right": ("in the top right", "in the top right corner", "in the upper right"),
    "left": ("on the left", "on the left side"),
    "centre": ("in the centre", "in the middle", "in the center"),
    "right": ("on the right", "on the right side"),
    "bottom left": ("in the bottom left", "in the bottom left corner", "in the lower left"),
    "bottom": ("at the bottom", "at the bottom centre"),
    "bottom right": ("in the bottom right", "in the bottom right corner", "in the lower right"),
}
_RELATIONS = {
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above",),
    "below": ("below", "under"),
    "larger than": ("larger than", "bigger than"),
    "smaller than": ("smaller than",),
    "inside": ("inside", "within"),
    "around": ("around",),
}
_BACKGROUNDS = ("on a {} background", "against a {} background", "with a {} background")
_OPENINGS = (
    "",
    "",
    "",
    "there {be} ",
    "a picture of ",
    "an image of ",
    "a drawing of ",
    "a picture with ",
    "this image shows ",
)


@dataclasses.dataclass(frozen=True)
class Detail:
    """What a caption says besides shapes, colours and numbers.

    Attributes:
      size: the size of each object.
      position: where each object is, of those that are one of a kind.
      background: the colour of the background.
      relation: numbers of two objects, each one of a kind, and the relation to state between them.
    """

    size: bool = False
    position: bool = False
    background: bool = False
    relation: tuple[int, str, int] | None = None


def describe(scene: Scene, rng: random.Random, detail: Detail, opening: str | None = None) -> str:
    """One caption. Enclosed objects are always said to be inside; otherwise the detail is as asked for.

    Args:
      scene: what to describe.
      rng: chooses among paraphrases and the order.
      detail: what to say.
      opening: beginning of the sentence (`{be}` agrees in number), or None for any.
    """
    phrases = {group[0]: _group_phrase(scene, group, rng, detail) for group in _groups(scene)}
    plural = {group[0]: len(group) > 1 for group in _groups(scene)}
    relations = [(i, "inside", o.inside) for i, o in enumerate(scene.objects) if o.inside is not None]
    if detail.relation is not None and detail.relation[1] not in ("inside", "around"):
        relations.append(detail.relation)
    joined: list[tuple[str, bool]] = []
    for i, relation, j in relations:
        if i in phrases and j in phrases:
            joined.append((_related(phrases.pop(i), relation, phrases.pop(j), rng), False))
    rest = [(text, plural[number]) for number, text in phrases.items()]
    parts = joined + sorted(rest, key=lambda _: rng.random())
    opening = pick(rng, _OPENINGS) if opening is None else opening
    text = opening.format(be="are" if parts[0][1] else "is") + _join([part for part, _ in parts], oxford=bool(joined))
    if detail.background:
        text += " " + pick(rng, _BACKGROUNDS).format(scene.background)
    return text


def captions(scene: Scene, rng: random.Random, count: int = 5) -> tuple[str, ...]:
    """Different captions of a scene: the barest, the fullest, and others between; some as sentences, some as prompts."""
    found: dict[str, None] = {}
    details = [Detail(), Detail(size=True, position=True, background=True)]
    for _ in range(4 * count):
        if len(found) == count:
            break
        detail = details.pop(0) if details else random_detail(scene, rng)
        text = describe(scene, rng, detail)
        found[f"{text[0].upper()}{text[1:]}." if rng.random() < 0.4 else text] = None
    return tuple(found)


def random_detail(scene: Scene, rng: random.Random) -> Detail:
    """A random choice of what to say about a scene."""
    size, position, background, relation = (rng.random() < share for share in (0.4, 0.4, 0.5, 0.6))
    stated = [r for r in scene.relations() if r[0] in unique(scene) and r[2] in unique(scene)] if relation else []
    return Detail(size, position and not stated, background, pick(rng, stated) if stated else None)


def unique(scene: Scene) -> list[int]:
    """Numbers of the objects that are the only one of their shape and colour."""
    names = [(o.shape, o.colour) for o in scene.objects]
    return [i for i, name in enumerate(names) if names.count(name) == 1]


def noun(shape: str, count: int = 1) -> str:
    """`cross` → `cross` or `crosses`."""
    return shape if count == 1 else shape + ("es" if shape.endswith("s") else "s")


def with_article(words: str) -> str:
    """`orange star` → `an orange star`."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def place_phrase(position: str, rng: random.Random) -> str:
    """`top` → `at the top`, or another way to say it."""
    return pick(rng, _POSITIONS[position])


def relation_phrase(relation: str, rng: random.Random) -> str:
    """`left of` → `to the left of`, or another way to say it."""
    return pick(rng, _RELATIONS[relation])


def size_word(size: str, rng: random.Random) -> str:
    """`large` → `large` or `big`."""
    return pick(rng, _SIZES[size])


def _groups(scene: Scene) -> list[list[int]]:
    """Numbers of the objects that share shape and colour, in the order of the scene."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, o in enumerate(scene.objects):
        groups.setdefault((o.shape, o.colour), []).append(i)
    return list(groups.values())


def _group_phrase(scene: Scene, group: Sequence[int], rng: random.Random, detail: Detail) -> str:
    members: list[Item] = [scene.objects[i] for i in group]
    first = members[0]
    words = f"{first.colour} {noun(first.shape, len(group))}"
    if detail.size and len({o.size for o in members}) == 1:
        words = f"{size_word(first.size, rng)} {words}"
    if len(group) > 1:
        return f"{NUMBERS[len(group)]} {words}"
    # Where a relation or an enclosure is stated, a position between the two phrases would be ambiguous.
    if detail.position and first.inside is None and not any(o.inside in group for o in scene.objects):
        return f"{with_article(words)} {place_phrase(first.position, rng)}"
    return with_article(words)


def _related(first: str, relation: str, second: str, rng: random.Random) -> str:
    if relation == "inside" and rng.random() < 0.4:
        return pick(rng, ("{1} with {0} inside it", "{1} containing {0}")).format(first, second)
    return f"{first} {relation_phrase(relation, rng)} {second}"


def _join(phrases: Sequence[str], oxford: bool) -> str:
    """`a`, `a and b`, `a, b and c`; with the comma before `and` what stands after a relation is not taken to be part of it."""
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + (", and " if oxford else " and ") + phrases[-1]
