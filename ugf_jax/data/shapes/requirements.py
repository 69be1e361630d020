"""Prompts whose demands a program can check: what a prompt requires, and which of it a scene fulfils."""

import dataclasses
import itertools
import random
from collections.abc import Callable
from typing import Any, Self

from ugf_jax.data.shapes.graph import INVERSE, Item, Scene
from ugf_jax.data.shapes.language import Detail, describe, unique
from ugf_jax.data.shapes.sampling import pick, scene_in_split
from ugf_jax.data.shapes.splits import split_of_pair, split_of_relation

_MOST_OBJECTS = 6  # found objects that are compared with the needs, those that fit best first


@dataclasses.dataclass(frozen=True)
class Need:
    """One required object; None where the prompt leaves an attribute open."""

    shape: str
    colour: str
    size: str | None = None
    position: str | None = None


@dataclasses.dataclass(frozen=True)
class Requirement:
    """What a picture must show: these objects and no others, in these relations, on this background.

    Attributes:
      category: one of `CATEGORIES`.
      needs: required objects, one entry each.
      relations: (number of a need, relation, number of a need).
      background: required background colour, or None where the prompt leaves it open.
    """

    category: str
    needs: tuple[Need, ...]
    relations: tuple[tuple[int, str, int], ...] = ()
    background: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries and lists."""
        return {**dataclasses.asdict(self), "relations": [list(r) for r in self.relations]}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
          KeyError: a field is missing.
        """
        needs = tuple(Need(**need) for need in fields["needs"])
        relations = tuple((int(i), str(r), int(j)) for i, r, j in fields["relations"])
        return cls(fields["category"], needs, relations, fields["background"])


def satisfies(scene: Scene, requirement: Requirement) -> dict[str, bool]:
    """Which attributes that a requirement speaks of are right in a (found) scene.

    Objects of the scene are matched with the needs in the way that fulfils most.

    Returns:
      `shape`, `colour` (each need has an object of its own that is right in this), `count` (as many objects as needs), and
      where required `size`, `position`, `relation`, `background`. The picture is right where all are True.
    """
    needs = requirement.needs
    candidates = sorted(range(len(scene.objects)), key=lambda i: -max(_likeness(n, scene.objects[i]) for n in needs))
    numbers: list[int | None] = list(candidates[:_MOST_OBJECTS])
    numbers += [None] * (len(needs) - len(numbers))
    best: dict[str, int] = {}
    most = -1
    for chosen in itertools.permutations(numbers, len(needs)):
        right = _count_right(scene, requirement, chosen)
        points = 100 * right["both"] + 10 * (right["shape"] + right["colour"])
        points += right["size"] + right["position"] + right["relation"]
        if points > most:
            best, most = right, points
    total = len(needs)
    found = {name: best[name] == total for name in ("shape", "colour")}
    found["count"] = len(scene.objects) == total
    for name in ("size", "position"):
        if any(getattr(n, name) for n in needs):
            found[name] = best[name] == total
    if requirement.relations:
        found["relation"] = best["relation"] == len(requirement.relations)
    if requirement.background is not None:
        found["background"] = scene.background == requirement.background
    return found


def score(scene: Scene, requirement: Requirement) -> float:
    """Share of the attributes that are right, from 0 to 1."""
    found = satisfies(scene, requirement)
    return sum(found.values()) / len(found)


def _likeness(need: Need, item: Item) -> int:
    return 2 * (need.shape == item.shape) + 2 * (need.colour == item.colour) + (need.position == item.position)


def _count_right(scene: Scene, requirement: Requirement, chosen: tuple[int | None, ...]) -> dict[str, int]:
    """How many needs are right in each attribute when need k is met by object `chosen[k]`."""
    right = dict.fromkeys(("shape", "colour", "both", "size", "position", "relation"), 0)
    for need, number in zip(requirement.needs, chosen, strict=True):
        if number is None:
            continue
        item = scene.objects[number]
        right["shape"] += need.shape == item.shape
        right["colour"] += need.colour == item.colour
        right["both"] += (need.shape, need.colour) == (item.shape, item.colour)
        right["size"] += need.size in (None, item.size)
        right["position"] += need.position in (None, item.position)
    for i, relation, j in requirement.relations:
        first, second = chosen[i], chosen[j]
        right["relation"] += first is not None and second is not None and scene.holds(first, relation, second)
    return right


def required(scene: Scene, category: str, detail: Detail) -> Requirement:
    """What the caption of a scene with this detail demands."""
    enclosing = {o.inside for o in scene.objects}
    placed = [i for i in unique(scene) if scene.objects[i].inside is None and i not in enclosing] if detail.position else []
    groups = {
        (o.shape, o.colour): {p.size for p in scene.objects if (p.shape, p.colour) == (o.shape, o.colour)}
        for o in scene.objects
    }
    needs = tuple(
        Need(
            o.shape,
            o.colour,
            o.size if detail.size and len(groups[o.shape, o.colour]) == 1 else None,
            o.position if i in placed else None,
        )
        for i, o in enumerate(scene.objects)
    )
    relations = [(i, "inside", o.inside) for i, o in enumerate(scene.objects) if o.inside is not None]
    if detail.relation is not None and detail.relation not in relations:
        relations.append(detail.relation)
    return Requirement(category, needs, tuple(relations), scene.background if detail.background else None)


def prompt_and_scene(index: int, split: str = "test") -> tuple[str, Requirement, Scene]:
    """A prompt, what it requires, and a scene that fulfils it. Categories take turns.

    The prompt names at least one combination that belongs to the split.

    Raises:
      InputError: no such split.
    """
    category = tuple(CATEGORIES)[index % len(CATEGORIES)]
    rng = random.Random(f"shapes prompt {split} {index}")
    while True:
        chosen = CATEGORIES[category](rng, split)
        if chosen is None:
            continue
        scene, detail = chosen
        requirement = required(scene, category, detail)
        if split in _named_splits(requirement):
            return describe(scene, rng, detail, pick(rng, ("", "", "a picture of ", "an image of "))), requirement, scene


def prompt(index: int, split: str = "test") -> tuple[str, Requirement]:
    """A prompt for generation and what it requires: a pure function of index and split.

    Raises:
      InputError: no such split.
    """
    return prompt_and_scene(index, split)[:2]


def _named_splits(requirement: Requirement) -> set[str]:
    needs = requirement.needs
    splits = {split_of_pair(n.shape, n.colour) for n in needs}
    for i, relation, j in requirement.relations:
        a, b = needs[i].shape, needs[j].shape
        forward = relation in ("left of", "above", "larger than", "inside")
        splits.add(split_of_relation(a, relation, b) if forward else split_of_relation(b, INVERSE[relation], a))
    return splits


Chosen = tuple[Scene, Detail] | None


def _single(rng: random.Random, split: str) -> Chosen:
    return scene_in_split(rng, split, "single"), Detail()


def _two(rng: random.Random, split: str) -> Chosen:
    scene = scene_in_split(rng, split, "pair")
    return (scene, Detail()) if len(unique(scene)) == 2 else None


def _counting(rng: random.Random, split: str) -> Chosen:
    scene = scene_in_split(rng, split, "counting")
    return (scene, Detail()) if not unique(scene) else None


def _position(rng: random.Random, split: str) -> Chosen:
    scene = scene_in_split(rng, split, pick(rng, ("single", "pair")))
    return (scene, Detail(position=True)) if unique(scene) else None


def _colour(rng: random.Random, split: str) -> Chosen:
    """Two objects of one shape in two colours, or any objects on a named background."""
    scene = scene_in_split(rng, split, pick(rng, ("single", "pair")))
    if len(scene.objects) > 1 and (scene.objects[0].shape != scene.objects[1].shape or not unique(scene)):
        return None
    return scene, Detail(background=True)


def _size(rng: random.Random, split: str) -> Chosen:
    scene = scene_in_split(rng, split, pick(rng, ("single", "pair")))
    return (scene, Detail(size=True)) if unique(scene) else None


def _relations(rng: random.Random, split: str) -> Chosen:
    scene = scene_in_split(rng, split, pick(rng, ("pair", "pair", "pair", "inside")))
    if len(scene.objects) != 2 or len(unique(scene)) != 2:
        return None
    stated = [r for r in scene.relations() if r[1] != "around"]
    return (scene, Detail(relation=pick(rng, stated))) if stated else None


CATEGORIES: dict[str, Callable[[random.Random, str], Chosen]] = {
    "single": _single,
    "two": _two,
    "counting": _counting,
    "position": _position,
    "colour": _colour,
    "size": _size,
    "relations": _relations,
}
