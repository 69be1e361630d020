"""A scene with what is written, outlined and dotted in it. Lengths are fractions of the picture's shorter side."""

import dataclasses
from typing import Any, Self

from ugf_jax.data.shapes.graph import COLOURS, Item, Scene

INKS = {"black": (14, 14, 16), "white": (255, 255, 255)}


@dataclasses.dataclass(frozen=True)
class Writing:
    """One to three letters on an object or beside it.

    Attributes:
      text: capital letters.
      about: number of the object.
      x: from the object's centre to the right, to the centre of the text; it moves with the object.
      y: likewise, downwards.
      cap: height of a capital letter.
      ink: one of `INKS`.
    """

    text: str
    about: int
    x: float
    y: float
    cap: float
    ink: str

    @property
    def on(self) -> bool:
        """Whether it stands on the object."""
        return self.x == self.y == 0


@dataclasses.dataclass(frozen=True)
class Outline:
    """A line along the inside of an object's edge: number of the object, one of `COLOURS`, and its thickness."""

    about: int
    colour: str
    thickness: float


@dataclasses.dataclass(frozen=True)
class Dot:
    """A small disc: centre as fractions of width and height, and diameter."""

    x: float
    y: float
    diameter: float


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The dots in one part of the picture; there may be none, which is asked about as well.

    Attributes:
      position: one of `ugf_jax.data.shapes.graph.POSITIONS`.
      colour: of all of them, one of `COLOURS`.
      dots: none to five.
    """

    position: str
    colour: str
    dots: tuple[Dot, ...]


@dataclasses.dataclass(frozen=True)
class FineScene:
    """A scene and its details, none of which counts as an object."""

    scene: Scene
    outlines: tuple[Outline, ...]
    writings: tuple[Writing, ...]
    clusters: tuple[Cluster, ...]

    def dots(self) -> list[Item]:
        """Every dot, as a small circle."""
        return [Item("circle", c.colour, d.x, d.y, d.diameter) for c in self.clusters for d in c.dots]

    def to_json(self) -> dict[str, Any]:
        """The scene graph as `Scene.to_json` gives it, with `outlines`, `writings` and `clusters` beside."""
        details = dataclasses.asdict(self)
        return {**self.scene.to_json(), **{name: list(details[name]) for name in ("outlines", "writings", "clusters")}}

    @classmethod
    def from_json(cls, graph: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
          KeyError: a field is missing.
        """
        clusters = (Cluster(c["position"], c["colour"], tuple(Dot(**d) for d in c["dots"])) for c in graph["clusters"])
        return cls(
            Scene.from_json(graph),
            tuple(Outline(**o) for o in graph["outlines"]),
            tuple(Writing(**w) for w in graph["writings"]),
            tuple(clusters),
        )


def contrasting(colour: tuple[int, int, int]) -> str:
    """The one of `INKS` that an RGB colour differs more from in luminance (contrast ratio of WCAG 2.1)."""

    def luminance(rgb: tuple[int, int, int]) -> float:
        linear = [v / 3294.6 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def ratio(ink: str) -> float:
        low, high = sorted((luminance(colour), luminance(INKS[ink])))
        return (high + 0.05) / (low + 0.05)

    return max(INKS, key=ratio)


def other_colours(colour: str) -> tuple[str, ...]:
    """All of `COLOURS` but one."""
    return tuple(c for c in COLOURS if c != colour)
