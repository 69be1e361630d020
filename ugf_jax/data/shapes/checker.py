"""Finds the scene graph of a picture by classical vision: a true drawing, a compressed or noisy one, or a generated one.

The background is the colour along the border. What differs from it falls into connected regions. Each region's colour
is read away from its edge; the share of that colour in each pixel (along an edge a picture is a mixture of two colours)
gives the area and the centre with sub-pixel accuracy, whatever the blur. The region is then brought to one size and
compared with drawings of every shape. A large region may enclose an object, which is found in the same way against the
colour of its container.
"""

import dataclasses
import functools
import math

import cv2
import numpy as np

from ugf_jax.data.shapes.drawing import coverage, outline
from ugf_jax.data.shapes.graph import SHAPES, Item, Scene
from ugf_jax.data.shapes.segment import (
    CONTRAST,
    Region,
    background_name,
    border_colour,
    colour_of,
    core,
    depth,
    differing,
    lab_of,
    regions,
    share,
    to_lab,
)

_WORKING_SIDE = 320  # longer side; larger pictures are reduced to it, which costs nothing in accuracy and much less time
_LARGE = 0.28  # least diameter of a region that may enclose an object
LEAST_FIT = 0.7  # an object that agrees less than this with every shape is of none
UNKNOWN = "unknown"
_PATCH = 32  # pixels across which regions and drawings are compared
_ROOT_AREA = 13.0  # square root of a region's area there
_SPREADS = (0.0, 0.6, 1.1, 1.7, 2.4)  # blur of the drawings in pixels of the patch, as small or blurred objects have it


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found in a picture.

    Attributes:
      scene: scene graph; objects from top to bottom, one that is enclosed right after its container.
      boxes: left, top, right and bottom of each object in pixels.
      fits: how well each object agrees with a drawing of its shape, from 0 to 1; under `LEAST_FIT` its shape is "unknown".
    """

    scene: Scene
    boxes: tuple[tuple[int, int, int, int], ...]
    fits: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class _Object:
    item: Item
    fit: float
    region: Region


def find(image: np.ndarray) -> Found:
    """Finds the objects in a picture and the relations between them.

    Args:
      image: uint8 `[H, W, 3]`, RGB, of any size from about 64 pixels.
    """
    height, width = image.shape[:2]
    shrink = max(height, width) / _WORKING_SIDE
    if shrink > 1:
        image = cv2.resize(image, (round(width / shrink), round(height / shrink)), interpolation=cv2.INTER_AREA)
    side = min(image.shape[:2])
    surround = border_colour(image)
    lab = to_lab(cv2.GaussianBlur(image, (3, 3), 0.6))
    objects: list[_Object] = []
    for region in regions(differing(lab, surround, side), side):
        objects += _outer_and_inner(image, lab, region, surround, len(objects))
    scene = Scene(background_name(surround), tuple(o.item for o in objects))
    boxes = tuple(_scaled(o.region.box, width / image.shape[1], height / image.shape[0]) for o in objects)
    return Found(scene, boxes, tuple(o.fit for o in objects))


def _scaled(box: tuple[int, int, int, int], across: float, down: float) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _outer_and_inner(image: np.ndarray, lab: np.ndarray, region: Region, surround: np.ndarray, number: int) -> list[_Object]:
    """The object that a region shows, which becomes object `number`, and the one that it encloses, if any."""
    name, colour = colour_of(image, region, surround)
    covered = share(image[region.view], surround, colour) * _grown(region.mask)
    inner = _enclosed(lab, region, colour, surround)
    if inner is None:
        return [_object(image, region, name, covered, None)]
    inner_name, inner_colour = colour_of(image, inner, colour)
    inner_covered = share(image[inner.view], colour, inner_colour) * _grown(inner.mask)
    enclosed = _object(image, inner, inner_name, inner_covered, number)
    if enclosed.fit < LEAST_FIT or inner_name == name:
        return [_object(image, region, name, covered, None)]
    hidden = np.zeros(image.shape[:2], bool)
    hidden[inner.view] = _grown(inner.mask)
    covered[hidden[region.view]] = 1
    return [_object(image, region, name, covered, None), enclosed]


def _enclosed(lab: np.ndarray, region: Region, colour: np.ndarray, surround: np.ndarray) -> Region | None:
    """The largest region inside one of that RGB colour; None where there is none, or only the hole of a ring."""
    side = min(lab.shape[:2])
    if np.count_nonzero(region.mask) < math.pi / 4 * (_LARGE * side) ** 2:
        return None
    interior = depth(region.mask) > 1 + 0.012 * side
    candidates = regions(differing(lab[region.view], colour, side) & interior, side)
    if not candidates:
        return None
    inner = max(candidates, key=lambda r: np.count_nonzero(r.mask))
    seen = np.median(lab[region.view][inner.view][core(inner, side)], axis=0)
    if np.linalg.norm(seen - lab_of(surround)) < CONTRAST:
        return None
    return dataclasses.replace(inner, left=region.left + inner.left, top=region.top + inner.top)


def _object(image: np.ndarray, region: Region, colour: str, covered: np.ndarray, inside: int | None) -> _Object:
    height, width = image.shape[:2]
    shape, diameter, (x, y), fit = match_shape(covered)
    if fit < LEAST_FIT:
        shape = UNKNOWN
    item = Item(shape, colour, (region.left + x) / width, (region.top + y) / height, diameter / min(height, width), inside)
    return _Object(item, fit, region)


def match_shape(covered: np.ndarray) -> tuple[str, float, tuple[float, float], float]:
    """Compares an object with drawings of every shape.

    Args:
      covered: float `[rows, columns]`, how much of each pixel the object covers, from 0 to 1.

    Returns:
      The shape that agrees best, its diameter and centre (x, y) in pixels, and the agreement from 0 to 1.
    """
    area = max(float(covered.sum()), 1e-3)
    x = float((covered.sum(0) * (np.arange(covered.shape[1]) + 0.5)).sum() / area)
    y = float((covered.sum(1) * (np.arange(covered.shape[0]) + 0.5)).sum() / area)
    scale = _ROOT_AREA / math.sqrt(area)
    covered = covered.astype(np.float32)
    if scale < 1:  # reducing without a blur would alias edges and noise
        covered = cv2.GaussianBlur(covered, (0, 0), 0.4 / scale)
    shift = _PATCH / 2 - 0.5
    matrix = np.array([[scale, 0, shift - scale * (x - 0.5)], [0, scale, shift - scale * (y - 0.5)]])
    patch = cv2.warpAffine(covered, matrix, (_PATCH, _PATCH), flags=cv2.INTER_LINEAR).ravel()
    drawings, shapes = _drawings()
    agreement = 1 - np.abs(drawings - patch).sum(1) / (drawings.sum(1) + patch.sum())
    best = int(np.argmax(agreement))
    return shapes[best], math.sqrt(area / _unit_area(shapes[best])), (x, y), float(agreement[best])


def agreement(found: Scene, true: Scene) -> dict[str, bool]:
    """In what a found scene agrees with the true one: `count`, `background`, and, in every object, each attribute and relation.

    Objects are matched by place and size; where the counts differ, only the background can agree.
    """
    left = list(found.objects)
    result = {"count": len(left) == len(true.objects), "background": found.background == true.background}
    if not result["count"]:
        return result | dict.fromkeys(("shape", "colour", "size", "position", "relation"), False)
    matched: list[int] = []
    for o in true.objects:
        apart = {
            i: abs(p.x - o.x) + abs(p.y - o.y) + abs(p.diameter - o.diameter) for i, p in enumerate(left) if i not in matched
        }
        matched.append(min(apart, key=apart.__getitem__))
    for name in ("shape", "colour", "size", "position"):
        result[name] = all(getattr(left[i], name) == getattr(o, name) for i, o in zip(matched, true.objects, strict=True))
    result["relation"] = {(matched[i], r, matched[j]) for i, r, j in true.relations()} == set(found.relations())
    return result


@functools.cache
def _drawings() -> tuple[np.ndarray, tuple[str, ...]]:
    """Every shape at every spread, float32 `[shapes × spreads, _PATCH²]`, and the shape of each."""
    drawings, shapes = [], []
    for shape in SHAPES:
        diameter = _ROOT_AREA / math.sqrt(_unit_area(shape))
        mask, row, column = coverage(Item(shape, "red", 0.5, 0.5, diameter / _PATCH), _PATCH, _PATCH)
        patch = np.zeros((_PATCH, _PATCH), np.float32)
        patch[row : row + mask.shape[0], column : column + mask.shape[1]] = mask / np.float32(255)
        for spread in _SPREADS:
            drawings.append(cv2.GaussianBlur(patch, (0, 0), spread).ravel() if spread else patch.ravel())
            shapes.append(shape)
    return np.stack(drawings), tuple(shapes)


@functools.cache
def _unit_area(shape: str) -> float:
    """Area of a shape of diameter 1."""
    outer, *holes = (cv2.contourArea(p.astype(np.float32)) for p in outline(shape))
    return outer - sum(holes)


def _grown(mask: np.ndarray) -> np.ndarray:
    """A region together with its blurred edge."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
