"""Scene graphs: what is in a picture, in coordinates that do not depend on its size or aspect ratio.

An object's centre is given as fractions of the picture's width and height, its diameter as a fraction of the shorter
side, so that the same scene can be drawn at any size and shape of picture without distorting an object. Names (size,
position, relations) follow from the numbers by the thresholds below, for scenes that were generated and for scenes that
were found in an image alike.
"""

import dataclasses
import math
from typing import Any, Self

SHAPES = ("circle", "square", "triangle", "diamond", "star", "heart", "ring", "cross")

# sRGB. Any two object colours are at least 41 apart in CIE Lab, any object colour and any background at least 39.
COLOURS = {
    "red": (214, 39, 40),
    "orange": (255, 136, 20),
    "yellow": (255, 216, 40),
    "green": (40, 160, 60),
    "cyan": (30, 205, 220),
    "blue": (30, 100, 235),
    "purple": (145, 40, 165),
    "pink": (255, 135, 190),
    "brown": (125, 75, 40),
}
# Of `tinted` scenes only: no prompt or question of an evaluation names them, and the checker does not know them.
TINTS = {
    "lime": (128, 255, 0),
    "magenta": (255, 0, 255),
    "teal": (0, 128, 128),
    "maroon": (128, 0, 0),
    "olive": (128, 128, 0),
    "coral": (255, 128, 128),
    "gold": (255, 191, 0),
    "violet": (128, 0, 255),
    "indigo": (64, 0, 191),
    "turquoise": (64, 255, 191),
    "crimson": (255, 0, 64),
    "lavender": (191, 128, 255),
    "mint": (128, 255, 128),
    "tan": (191, 128, 64),
    "plum": (128, 0, 64),
    "sky-blue": (64, 191, 255),
    "chocolate": (128, 64, 0),
    "emerald": (0, 191, 64),
    "rose": (255, 64, 128),
    "scarlet": (255, 64, 0),
}
BACKGROUNDS = {
    "white": (255, 255, 255),
    "beige": (234, 214, 172),
    "grey": (150, 155, 162),
    "navy": (24, 34, 92),
    "black": (14, 14, 16),
}

# Range of diameters of each size class; a found diameter belongs to the class on its side of the geometric mean of the gap.
SIZES = {"small": (0.17, 0.195), "medium": (0.25, 0.285), "large": (0.355, 0.39)}
_SIZE_LIMITS = (math.sqrt(0.195 * 0.25), math.sqrt(0.285 * 0.355))

POSITIONS = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
CELL_LIMITS = (0.36, 0.64)

# Centres nearer than this (fraction of the side) are level; generated ones are at most 0.1 or at least 0.16 apart.
LEVEL = 0.14

INVERSE = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "larger than": "smaller than",
    "smaller than": "larger than",
    "inside": "around",
    "around": "inside",
}
RELATIONS = tuple(INVERSE)


@dataclasses.dataclass(frozen=True)
class Item:
    """One object.

    Attributes:
      shape: one of `SHAPES`.
      colour: one of `COLOURS`.
      x: centre of area, fraction of the picture's width from the left.
      y: centre of area, fraction of the picture's height from the top.
      diameter: fraction of the shorter side; of a circle that looks as large as the object.
      inside: number of the object that encloses this one, or None.
    """

    shape: str
    colour: str
    x: float
    y: float
    diameter: float
    inside: int | None = None

    @property
    def size(self) -> str:
        """Size class: one of `SIZES`."""
        return tuple(SIZES)[sum(self.diameter > limit for limit in _SIZE_LIMITS)]

    @property
    def position(self) -> str:
        """Cell of a 3×3 grid that holds the centre: one of `POSITIONS`."""
        column, row = (sum(value > limit for limit in CELL_LIMITS) for value in (self.x, self.y))
        return POSITIONS[3 * row + column]


@dataclasses.dataclass(frozen=True)
class Scene:
    """A background and the objects on it."""

    background: str
    objects: tuple[Item, ...]

    def holds(self, first: int, relation: str, second: int) -> bool:
        """Whether object number `first` stands in `relation` (one of `RELATIONS`) to object number `second`.

        Raises:
          KeyError: `relation` is not one of `RELATIONS`.
        """
        a, b = self.objects[first], self.objects[second]
        if relation in ("right of", "below", "smaller than", "around"):
            return self.holds(second, INVERSE[relation], first)
        return {
            "left of": b.x - a.x > LEVEL,
            "above": b.y - a.y > LEVEL,
            "larger than": a.size != b.size and a.diameter > b.diameter,
            "inside": a.inside == second,
        }[relation]

    def relations(self) -> list[tuple[int, str, int]]:
        """Every relation that holds, as (first, relation, second), in a fixed order."""
        numbers = range(len(self.objects))
        return [(i, r, j) for i in numbers for j in numbers if i != j for r in RELATIONS if self.holds(i, r, j)]

    def to_json(self) -> dict[str, Any]:
        """The graph as plain dictionaries and lists, with the names that follow from the numbers spelled out."""
        objects = [{**dataclasses.asdict(o), "size": o.size, "position": o.position} for o in self.objects]
        return {"background": self.background, "objects": objects, "relations": [list(r) for r in self.relations()]}

    @classmethod
    def from_json(cls, graph: dict[str, Any]) -> Self:
        """Inverse of `to_json`; sizes, positions and relations follow from the numbers again.

        Raises:
          KeyError: a field is missing.
        """
        names = [field.name for field in dataclasses.fields(Item)]
        return cls(graph["background"], tuple(Item(**{n: o[n] for n in names}) for o in graph["objects"]))
