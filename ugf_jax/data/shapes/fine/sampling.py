"""Adds details at random to a random scene. Nothing is drawn but from `random.Random.random`.

Places are found in a square picture. Text moves with its object and stays within a circle around it; all else lies at
fractions of width and height: in any other picture things are only farther apart.
"""

import math
import random

from ugf_jax.data.shapes.drawing import extent, radius
from ugf_jax.data.shapes.fine import letters
from ugf_jax.data.shapes.fine.graph import Cluster, Dot, FineScene, Outline, Writing, contrasting, other_colours
from ugf_jax.data.shapes.graph import BACKGROUNDS, CELL_LIMITS, COLOURS, POSITIONS, Item, Scene
from ugf_jax.data.shapes.sampling import EDGE, between, pick, scene_in_split

MOST_DOTS = 5
_CAP, _LINE, _DOT = (0.042, 0.052), (0.007, 0.01), (0.022, 0.03)
_APART = 0.02  # of text from its object, and of dots from each other
_CLEAR = 0.03  # of anything from what it does not belong to, and of dots from the limits of their part
_OUTLINED = 0.7  # share of objects with an outline
_LETTERED = 0.6  # share of objects with a letter, of those that have room for one

Reach = list[float]  # radius of the circle around each object that holds it and its text


def fine_scene(rng: random.Random, split: str) -> FineScene:
    """A scene of a split, with details.

    Raises:
      InputError: no such split.
    """
    while True:
        scene = scene_in_split(rng, split)
        reach = [o.diameter * radius(o.shape) for o in scene.objects]
        outlines = [outline_of(rng, i, o) for i, o in enumerate(scene.objects) if rng.random() < _OUTLINED]
        writings = letters_on(rng, scene) + _words(rng, scene, reach)
        clusters = _clusters(rng, scene, reach)
        if outlines and clusters:
            return FineScene(scene, tuple(outlines), tuple(writings), clusters)


def outline_of(rng: random.Random, number: int, item: Item) -> Outline:
    """A line of another colour around an object."""
    return Outline(number, pick(rng, other_colours(item.colour)), between(rng, *_LINE))


def letters_on(rng: random.Random, scene: Scene) -> list[Writing]:
    """A letter on some objects; where there is room, on one at least. A ring has none, nor what encloses another object."""
    enclosing = {o.inside for o in scene.objects}
    able = [i for i, o in enumerate(scene.objects) if o.shape != "ring" and i not in enclosing]
    chosen = [i for i in able if rng.random() < _LETTERED] or able[:1]
    found = []
    for i in chosen:
        ink = contrasting(COLOURS[scene.objects[i].colour])
        found.append(Writing(_text(rng, 1), i, 0.0, 0.0, between(rng, *_CAP), ink))
    return found


def _words(rng: random.Random, scene: Scene, reach: Reach) -> list[Writing]:
    """One to three letters beside one or two objects, where there is room; enlarges the reach of these."""
    numbers = [i for i, o in enumerate(scene.objects) if o.inside is None]
    numbers.sort(key=lambda _: rng.random())
    ink = contrasting(BACKGROUNDS[scene.background])
    found: list[Writing] = []
    for i in numbers:
        text, cap = _text(rng, pick(rng, (1, 2, 3))), between(rng, *_CAP)
        sides = sorted(("left", "above", "right", "below"), key=lambda _: rng.random())
        for side in sides:
            x, y, needed = _beside(scene.objects[i], text, cap, side)
            if len(found) < 2 and _free(scene, i, x, y, text, cap) and _reaches(scene, reach, i, needed):
                found.append(Writing(text, i, x, y, cap, ink))
                reach[i] = needed
                break
    return found


def _beside(item: Item, text: str, cap: float, side: str) -> tuple[float, float, float]:
    """Offset of the text's centre from the object's, and the radius of the circle that holds both."""
    across, down = (h * cap for h in letters.half_size(text))
    left, top, right, bottom = (item.diameter * e + _APART for e in extent(item.shape))
    x = {"left": -left - across, "right": right + across}.get(side, 0.0)
    y = {"above": -top - down, "below": bottom + down}.get(side, 0.0)
    x, y = round(x, 4), round(y, 4)
    return x, y, max(math.hypot(abs(x) + across, abs(y) + down), item.diameter * radius(item.shape))


def _free(scene: Scene, number: int, x: float, y: float, text: str, cap: float) -> bool:
    """Whether the text lies within the picture."""
    item = scene.objects[number]
    across, down = (h * cap + EDGE for h in letters.half_size(text))
    return across <= item.x + x <= 1 - across and down <= item.y + y <= 1 - down


def _reaches(scene: Scene, reach: Reach, number: int, needed: float) -> bool:
    """Whether a circle of radius `needed` around an object keeps clear of the others."""
    here = scene.objects[number]
    others = [(o, r) for i, (o, r) in enumerate(zip(scene.objects, reach, strict=True)) if i != number and o.inside != number]
    return all(math.hypot(o.x - here.x, o.y - here.y) > needed + r + _CLEAR for o, r in others)


def _clusters(rng: random.Random, scene: Scene, reach: Reach) -> tuple[Cluster, ...]:
    """Dots in two parts of the picture, any number of them equally likely: places for all are found first."""
    positions = sorted(POSITIONS, key=lambda _: rng.random())
    found: list[Cluster] = []
    for position in positions:
        dots = _dots(rng, position, scene, reach)
        if len(found) < 2 and dots is not None:
            number = int(rng.random() * (MOST_DOTS + 1))
            found.append(Cluster(position, pick(rng, tuple(COLOURS)), tuple(dots[:number])))
    return tuple(found) if len(found) == 2 else ()


def _dots(rng: random.Random, position: str, scene: Scene, reach: Reach) -> list[Dot] | None:
    """As many dots as there may be in a part of the picture, or None where there is no room."""
    row, column = divmod(POSITIONS.index(position), 3)
    limits = (EDGE, *CELL_LIMITS, 1 - EDGE)
    dots: list[Dot] = []
    for _ in range(12 * MOST_DOTS):
        dot = Dot(
            between(rng, limits[column] + _CLEAR, limits[column + 1] - _CLEAR),
            between(rng, limits[row] + _CLEAR, limits[row + 1] - _CLEAR),
            between(rng, *_DOT),
        )
        alone = all(_distance(dot, d) > (dot.diameter + d.diameter) / 2 + _APART for d in dots)
        clear = all(_distance(dot, o) > dot.diameter / 2 + r + _CLEAR for o, r in zip(scene.objects, reach, strict=True))
        if alone and clear:
            dots.append(dot)
            if len(dots) == MOST_DOTS:
                return dots
    return None


def _distance(a: Dot | Item, b: Dot | Item) -> float:
    return math.hypot(a.x - b.x, a.y - b.y)


def _text(rng: random.Random, length: int) -> str:
    return "".join(pick(rng, letters.LETTERS) for _ in range(length))
