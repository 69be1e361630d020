"""Random scenes. Everything is drawn from `random.Random.random`, whose sequence is the same in every version of Python."""

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from ugf_jax.data.shapes.drawing import extent, radius
from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS, POSITIONS, SHAPES, SIZES, Item, Scene
from ugf_jax.data.shapes.splits import belongs, check_split, split_of_pair

T = TypeVar("T")

CONTAINERS = ("circle", "square", "diamond")
_CELLS = tuple((x, y) for y in (0.22, 0.5, 0.78) for x in (0.22, 0.5, 0.78))
_JITTER = 0.05  # keeps centres clear of the cells' limits and of the level threshold
EDGE = 0.02  # least distance to the edge, as a share of the shorter side
CONTAINER, CONTAINED = (0.375, 0.39), (0.17, 0.18)  # diameters of an object and of the one inside it
GAP = 0.04  # least distance between the circles around two objects, likewise

Look = tuple[str, str, str]  # shape, colour, size class


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """One of `options`, all equally likely."""
    return options[int(rng.random() * len(options))]


def random_scene(rng: random.Random, kind: str | None = None) -> Scene:
    """A scene of any split.

    Args:
      rng: source of all randomness.
      kind: one of `KINDS`, or None for any.
    """
    while True:
        chosen = kind or pick(rng, WEIGHTED_KINDS)
        scene = KINDS[chosen](rng)
        if scene is not None:
            return scene


def scene_in_split(rng: random.Random, split: str, kind: str | None = None) -> Scene:
    """A scene that belongs to `split`. The kind is chosen first, so that kinds are equally frequent in every split.

    Raises:
      InputError: no such split.
    """
    check_split(split)
    kind = kind or pick(rng, WEIGHTED_KINDS)
    while True:
        scene = random_scene(rng, kind)
        if belongs(scene, split):
            return scene


def fill(split: str, tries: int, draw: Callable[[], Item], fits: Callable[[Item], bool] = lambda _: True) -> list[Item]:
    """Objects drawn one after the other, those of `tries` for which there is room and whose look the split may show."""
    items: list[Item] = []
    for _ in range(tries):
        item = draw()
        allowed = split_of_pair(item.shape, item.colour) in ("train", split) and fits(item)
        if allowed and all(apart(item, other) for other in items):
            items.append(item)
    return items


def _single(rng: random.Random) -> Scene | None:
    return _scene(rng, [_look(rng)])


def _pair(rng: random.Random) -> Scene | None:
    """Two objects that often share one of shape, colour and size, so that no attribute gives another away."""
    shape, colour, size = _look(rng)
    first, second = _look(rng), _look(rng)
    shared = rng.random()
    if shared < 0.2:
        first, second = (shape, *first[1:]), (shape, *second[1:])
    elif shared < 0.35:
        first, second = (first[0], colour, first[2]), (second[0], colour, second[2])
    elif shared < 0.45:
        first, second = (*first[:2], size), (*second[:2], size)
    return _scene(rng, [first, second])


def _counting(rng: random.Random) -> Scene | None:
    """Two to four alike, at times with another object beside them."""
    count = pick(rng, (2, 2, 3, 3, 4))
    shape, colour, size = _look(rng)
    alike = rng.random() < 0.7
    looks = [(shape, colour, size if alike else pick(rng, tuple(SIZES))) for _ in range(count)]
    if count < 4 and rng.random() < 0.4:
        other = _look(rng)
        if other[:2] != (shape, colour):
            looks.append(other)
    return _scene(rng, looks)


def _inside(rng: random.Random) -> Scene | None:
    """A small object in a large one, at times with others beside them."""
    shape, colour, _ = _look(rng)
    outer = (pick(rng, CONTAINERS), pick(rng, tuple(COLOURS)), "large")
    if outer[1] == colour:
        return None
    others = [(*_look(rng)[:2], pick(rng, ("small", "medium"))) for _ in range(pick(rng, (0, 0, 0, 1, 1, 2)))]
    return _scene(rng, [outer, *others], within=(shape, colour, "small"))


def _several(rng: random.Random) -> Scene | None:
    return _scene(rng, [_look(rng) for _ in range(pick(rng, (3, 3, 4)))])


KINDS: dict[str, Callable[[random.Random], Scene | None]] = {
    "single": _single,
    "pair": _pair,
    "counting": _counting,
    "inside": _inside,
    "several": _several,
}
WEIGHTED_KINDS = ("single",) * 3 + ("pair",) * 5 + ("counting",) * 4 + ("inside",) * 3 + ("several",) * 5


def _look(rng: random.Random) -> Look:
    return pick(rng, SHAPES), pick(rng, tuple(COLOURS)), pick(rng, tuple(SIZES))


def _scene(rng: random.Random, looks: list[Look], within: Look | None = None) -> Scene | None:
    """Places objects; `within` goes into the first one. None where they do not fit or two of them cannot be told apart."""
    names = [look[:2] for look in looks + ([within] if within else [])]
    groups = set(names)
    if len(groups) < len(names) and len(groups) > 2:
        return None
    items = [Item(shape, colour, 0, 0, between(rng, *SIZES[size])) for shape, colour, size in looks]
    if within:
        items[0] = dataclasses.replace(items[0], diameter=between(rng, *CONTAINER))
    placed = _place(rng, items)
    if placed is None:
        return None
    if within:
        shape, colour, _ = within
        placed.insert(1, Item(shape, colour, placed[0].x, placed[0].y, between(rng, *CONTAINED), inside=0))
    return Scene(pick(rng, tuple(BACKGROUNDS)), tuple(placed))


def between(rng: random.Random, low: float, high: float) -> float:
    """A number from `low` to `high`, rounded to four digits."""
    return round(low + (high - low) * rng.random(), 4)


def within(rng: random.Random, position: str, item: Item) -> tuple[float, float]:
    """A centre for an object in a part of the picture (one of `POSITIONS`), near the middle of that part."""
    return _near(rng, *_CELLS[POSITIONS.index(position)], item)


def _near(rng: random.Random, x: float, y: float, item: Item) -> tuple[float, float]:
    """A centre near (x, y), and so that the object is clear of the edge."""
    left, top, right, bottom = (item.diameter * e + EDGE for e in extent(item.shape))
    x = min(max(between(rng, x - _JITTER, x + _JITTER), left), 1 - right)
    y = min(max(between(rng, y - _JITTER, y + _JITTER), top), 1 - bottom)
    return x, y


def _place(rng: random.Random, items: list[Item]) -> list[Item] | None:
    """The objects at centres in a square picture, the tightest case: any other aspect ratio only moves objects apart."""
    for _ in range(30):
        cells = list(_CELLS)
        placed: list[Item] = []
        for item in items:
            x, y = _near(rng, *cells.pop(int(rng.random() * len(cells))), item)
            item = dataclasses.replace(item, x=x, y=y)
            if not all(apart(item, other) for other in placed):
                break
            placed.append(dataclasses.replace(item, x=round(x, 4), y=round(y, 4)))
        else:
            return placed
    return None


def apart(first: Item, second: Item) -> bool:
    """Whether there is room between two objects in a square picture."""
    reach = first.diameter * radius(first.shape) + GAP + second.diameter * radius(second.shape)
    return (first.x - second.x) ** 2 + (first.y - second.y) ** 2 >= reach**2
