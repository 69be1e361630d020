"""What an edit is, and which of it the scene found in a result fulfils."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Self

from ugf_jax.data.shapes.graph import Item, Scene
from ugf_jax.data.shapes.requirements import Need, Requirement, satisfies

_MOVED, _GROWN = 0.06, 1.15  # an object is as it was within this distance (fractions of the sides) and ratio of diameters


@dataclasses.dataclass(frozen=True)
class Edit:
    """A change of one thing.

    Attributes:
      kind: one of `ugf_jax.data.shapes.edits.KINDS`.
      instruction: in words.
      before: the scene to change.
      after: the scene that results.
      unchanged: pairs of the numbers, before and after, of the objects that stay as they are.
    """

    kind: str
    instruction: str
    before: Scene
    after: Scene
    unchanged: tuple[tuple[int, int], ...]

    @property
    def requirement(self) -> Requirement:
        """What the result must show: every object in all that has a name, what is inside what, and the background."""
        objects = self.after.objects
        needs = tuple(Need(o.shape, o.colour, o.size, o.position) for o in objects)
        inside = tuple((i, "inside", o.inside) for i, o in enumerate(objects) if o.inside is not None)
        return Requirement(self.kind, needs, inside, self.after.background)

    @property
    def gone(self) -> tuple[Item, ...]:
        """The objects that must not be there any more as they were."""
        kept = {i for i, _ in self.unchanged}
        return tuple(o for i, o in enumerate(self.before.objects) if i not in kept)

    @property
    def new(self) -> tuple[Item, ...]:
        """The objects that must be there and were not, or not so."""
        kept = {j for _, j in self.unchanged}
        return tuple(o for j, o in enumerate(self.after.objects) if j not in kept)

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries and lists, with the requirement spelled out."""
        return {
            "kind": self.kind,
            "instruction": self.instruction,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "unchanged": [list(pair) for pair in self.unchanged],
            "requirement": self.requirement.to_json(),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
          KeyError: a field is missing.
        """
        before, after = Scene.from_json(fields["before"]), Scene.from_json(fields["after"])
        return cls(fields["kind"], fields["instruction"], before, after, tuple((i, j) for i, j in fields["unchanged"]))


def judge(found: Scene, edit: Edit) -> dict[str, bool]:
    """Which of an edit the scene found in its result fulfils.

    Returns:
      `asked`: what was asked for is done (all that is new is there as described, nothing that should be gone is);
      `kept`: each object that stays is where it was, as it was, and the background is, unless it was to change;
      and the attributes of `ugf_jax.data.shapes.satisfies`. The result is right where all are True.
    """
    asked = all(any(_described(f, o) for f in found.objects) for o in edit.new)
    asked &= not any(_same(f, o) for o in edit.gone for f in found.objects)
    kept = _all_there((edit.before.objects[i] for i, _ in edit.unchanged), found)
    if edit.kind == "background":
        asked &= found.background == edit.after.background
    else:
        kept &= found.background == edit.before.background
    return {"asked": asked, "kept": kept, **satisfies(found, edit.requirement)}


def _all_there(items: Iterable[Item], found: Scene) -> bool:
    """Whether each has a found object of its own that is the same."""
    left = list(found.objects)
    for item in items:
        match = next((f for f in left if _same(f, item)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _described(found: Item, item: Item) -> bool:
    """Equal in all that has a name; where exactly within its part of the picture is free."""
    return all(getattr(found, name) == getattr(item, name) for name in ("shape", "colour", "size", "position"))


def _same(found: Item, item: Item) -> bool:
    near = abs(found.x - item.x) <= _MOVED and abs(found.y - item.y) <= _MOVED
    as_large = 1 / _GROWN <= found.diameter / item.diameter <= _GROWN
    return (found.shape, found.colour) == (item.shape, item.colour) and near and as_large
