"""Random edits of random scenes. Nothing is drawn but from `random.Random.random`."""

import dataclasses
import math
import random
from collections.abc import Callable

from ugf_jax.data.shapes.drawing import extent, radius
from ugf_jax.data.shapes.edits.change import Edit
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, POSITIONS, SHAPES, SIZES, Item, Scene
from ugf_jax.data.shapes.language import place_phrase, size_word, with_article
from ugf_jax.data.shapes.quiz import describe_object
from ugf_jax.data.shapes.sampling import EDGE, GAP, between, pick, random_scene, within
from ugf_jax.data.shapes.splits import belongs, check_split, combinations

MOST_OBJECTS = 4
_PLAIN = 0.25  # share of instructions in small letters, without a full stop
_WORDINGS = {
    "recolour": (
        "Make the {one} {new}.",
        "Change the colour of the {one} to {new}.",
        "Change the color of the {one} to {new}.",
        "Paint the {one} {new}.",
        "Turn the {one} {new}.",
        "The {one} should be {new}.",
    ),
    "remove": ("Remove the {one}.", "Delete the {one}.", "Take the {one} away.", "Erase the {one}."),
    "add": ("Add {new} {place}.", "Draw {new} {place}.", "Put {new} {place}.", "Place {new} {place}."),
    "move": ("Move the {one} to {place}.", "Shift the {one} to {place}.", "Bring the {one} to {place}."),
    "resize": ("Make the {one} {new}.", "Change the size of the {one}: make it {new}.", "The {one} should be {new}."),
    "background": (
        "Change the background to {new}.",
        "Make the background {new}.",
        "Give the picture a {new} background.",
        "Put everything on a {new} background.",
    ),
}

Words = dict[str, str]
Made = tuple[Scene, tuple[tuple[int, int], ...], Words]  # the scene after, what is unchanged, words for the instruction


def random_edit(rng: random.Random, split: str) -> Edit:
    """An edit of any kind whose result belongs to a split; the scene before holds no combination of another held-out split.

    Raises:
      InputError: no such split.
    """
    check_split(split)
    kind = pick(rng, KINDS)
    while True:
        before = random_scene(rng)
        made = _MAKERS[kind](before, rng)
        if made is None:
            continue
        after, unchanged, words = made
        if belongs(after, split) and set(combinations(before).values()) <= {"train", split}:
            return Edit(kind, _instruction(kind, words, rng), before, after, unchanged)


def _instruction(kind: str, words: Words, rng: random.Random) -> str:
    text = pick(rng, _WORDINGS[kind]).format(**words)
    return text[0].lower() + text[1:-1] if rng.random() < _PLAIN else text


def _chosen(scene: Scene, rng: random.Random, alone: bool) -> tuple[int, str] | None:
    """An object that words single out, and these words; `alone`: neither inside another one nor around one."""
    enclosing = {o.inside for o in scene.objects}
    numbers = [i for i, o in enumerate(scene.objects) if not alone or (o.inside is None and i not in enclosing)]
    if not numbers:
        return None
    number = pick(rng, numbers)
    description = describe_object(scene, number, rng)
    return None if description is None else (number, description.phrase(rng))


def _changed(scene: Scene, number: int, item: Item, words: Words) -> Made:
    objects = (*scene.objects[:number], item, *scene.objects[number + 1 :])
    unchanged = tuple((i, i) for i in range(len(objects)) if i != number)
    return Scene(scene.background, objects), unchanged, words


def _recolour(scene: Scene, rng: random.Random) -> Made | None:
    chosen = _chosen(scene, rng, alone=False)
    if chosen is None:
        return None
    number, one = chosen
    item = scene.objects[number]
    # An object keeps another colour than what it encloses, or than what encloses it.
    taken = {item.colour} | {o.colour for i, o in enumerate(scene.objects) if o.inside == number or item.inside == i}
    colour = pick(rng, [c for c in COLOURS if c not in taken])
    return _changed(scene, number, dataclasses.replace(item, colour=colour), {"one": one, "new": colour})


def _remove(scene: Scene, rng: random.Random) -> Made | None:
    chosen = _chosen(scene, rng, alone=False)
    if chosen is None or len(scene.objects) == 1 or any(o.inside == chosen[0] for o in scene.objects):
        return None
    number, one = chosen
    numbers = [i for i in range(len(scene.objects)) if i != number]
    objects = []
    for i in numbers:
        inside = scene.objects[i].inside
        objects.append(dataclasses.replace(scene.objects[i], inside=None if inside is None else numbers.index(inside)))
    unchanged = tuple((i, j) for j, i in enumerate(numbers))
    return Scene(scene.background, tuple(objects)), unchanged, {"one": one}


def _add(scene: Scene, rng: random.Random) -> Made | None:
    if len(scene.objects) == MOST_OBJECTS:
        return None
    shape, colour, size = pick(rng, SHAPES), pick(rng, tuple(COLOURS)), pick(rng, tuple(SIZES))
    if (shape, colour) in {(o.shape, o.colour) for o in scene.objects}:
        return None
    position = pick(rng, POSITIONS)
    item = _placed(rng, position, Item(shape, colour, 0, 0, between(rng, *SIZES[size])))
    if not _fits(item, scene.objects):
        return None
    words = {"new": with_article(f"{size_word(size, rng)} {colour} {shape}"), "place": place_phrase(position, rng)}
    unchanged = tuple((i, i) for i in range(len(scene.objects)))
    return Scene(scene.background, (*scene.objects, item)), unchanged, words


def _move(scene: Scene, rng: random.Random) -> Made | None:
    chosen = _chosen(scene, rng, alone=True)
    if chosen is None:
        return None
    number, one = chosen
    item, position = scene.objects[number], pick(rng, POSITIONS)
    moved = _placed(rng, position, item)
    if position == item.position or not _fits(moved, _others(scene, number)):
        return None
    place = place_phrase(position, rng).partition(" ")[2]  # `in the top left` → `the top left`
    return _changed(scene, number, moved, {"one": one, "place": place})


def _resize(scene: Scene, rng: random.Random) -> Made | None:
    chosen = _chosen(scene, rng, alone=True)
    if chosen is None:
        return None
    number, one = chosen
    item = scene.objects[number]
    size = pick(rng, [s for s in SIZES if s != item.size])
    resized = dataclasses.replace(item, diameter=between(rng, *SIZES[size]))
    if not _fits(resized, _others(scene, number)):
        return None
    return _changed(scene, number, resized, {"one": one, "new": size_word(size, rng)})


def _background(scene: Scene, rng: random.Random) -> Made | None:
    background = pick(rng, [b for b in BACKGROUNDS if b != scene.background])
    unchanged = tuple((i, i) for i in range(len(scene.objects)))
    return Scene(background, scene.objects), unchanged, {"new": background}


def _others(scene: Scene, number: int) -> tuple[Item, ...]:
    return (*scene.objects[:number], *scene.objects[number + 1 :])


def _placed(rng: random.Random, position: str, item: Item) -> Item:
    x, y = within(rng, position, item)
    return dataclasses.replace(item, x=round(x, 4), y=round(y, 4))


def _fits(item: Item, others: tuple[Item, ...]) -> bool:
    """Whether there is room for an object in a square picture, the tightest case."""
    left, top, right, bottom = (item.diameter * e + EDGE - 1e-4 for e in extent(item.shape))
    whole = left <= item.x <= 1 - right and top <= item.y <= 1 - bottom
    reach = item.diameter * radius(item.shape) + GAP
    return whole and all(math.hypot(o.x - item.x, o.y - item.y) >= reach + o.diameter * radius(o.shape) for o in others)


_MAKERS: dict[str, Callable[[Scene, random.Random], Made | None]] = {
    "recolour": _recolour,
    "remove": _remove,
    "add": _add,
    "move": _move,
    "resize": _resize,
    "background": _background,
}
KINDS = tuple(_MAKERS)
