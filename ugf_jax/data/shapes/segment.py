"""Regions of a picture that differ from what surrounds them, and their colours. Used by the checker."""

import dataclasses
import functools

import cv2
import numpy as np

from ugf_jax.data.shapes.graph import BACKGROUNDS, COLOURS

CONTRAST = 20.0  # least Lab distance of an object from what surrounds it
_LEAST_AREA = 0.005  # of the shorter side squared: a third of the smallest object; what is smaller is dirt
_MARGIN = 2  # pixels around a region that its frame includes: its edge may be blurred
_THIN = 0.06  # of the shorter side: no pixel of a region thinner than this need hold its colour alone,
_THIN_PIXELS = 14.0  # nor of one with fewer pixels across than this
_PURITIES = np.linspace(0.5, 1.0, 11, dtype=np.float32)
_IMPURITY = 30.0  # Lab distance that a pure colour may be farther off than its mixture with the surround, to be preferred
_NAMES = tuple(COLOURS)


@dataclasses.dataclass(frozen=True)
class Region:
    """A part of a picture.

    Attributes:
      mask: bool `[rows, columns]`, True inside its outer edge, holes included.
      solid: bool `[rows, columns]`, True where it differs from its surround, holes not included.
      left: column of the frame in the picture.
      top: row of the frame in the picture.
    """

    mask: np.ndarray
    solid: np.ndarray
    left: int
    top: int

    @property
    def view(self) -> tuple[slice, slice]:
        """Where the frame lies in the picture."""
        rows, columns = self.mask.shape
        return np.s_[self.top : self.top + rows, self.left : self.left + columns]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the region without the margin of its frame."""
        left, top, columns, rows = cv2.boundingRect(self.mask.astype(np.uint8))
        return self.left + left, self.top + top, self.left + left + columns, self.top + top + rows


def to_lab(image: np.ndarray) -> np.ndarray:
    """RGB from 0 to 255 `[..., 3]` (two leading axes) to CIE Lab, float32."""
    return cv2.cvtColor(np.asarray(image, np.float32) / 255, cv2.COLOR_RGB2Lab)


def lab_of(colour: np.ndarray) -> np.ndarray:
    """One RGB colour `[3]` in CIE Lab."""
    return to_lab(colour[None, None])[0, 0]


def border_colour(image: np.ndarray) -> np.ndarray:
    """Median RGB colour along the border of an image; float32 `[3]`."""
    depth = max(1, min(image.shape[:2]) // 64)
    strips = (image[:depth], image[-depth:], image[:, :depth].swapaxes(0, 1), image[:, -depth:].swapaxes(0, 1))
    return np.median(np.concatenate([s.reshape(-1, 3) for s in strips]), axis=0).astype(np.float32)


def background_name(colour: np.ndarray) -> str:
    """The one of `BACKGROUNDS` that an RGB colour is nearest to."""
    return tuple(BACKGROUNDS)[_nearest(colour, _lab_palette(tuple(BACKGROUNDS.values())))]


def differing(lab: np.ndarray, surround: np.ndarray, side: int) -> np.ndarray:
    """Where a Lab picture differs from the RGB colour `surround`: by the contrast, and by half of what it does nearby.

    The second condition puts the edge of a blurred object where it is half covered, and keeps neighbours apart.
    """
    distance = np.sqrt(np.square(lab - lab_of(surround)).sum(-1))
    reach = 2 * max(1, round(side * 0.012)) + 1
    nearby = cv2.dilate(distance, np.ones((reach, reach), np.uint8))
    return (distance > CONTRAST) & (distance > 0.5 * nearby)


def regions(differs: np.ndarray, side: int) -> list[Region]:
    """Connected regions that are large enough to be objects, from top to bottom.

    Args:
      differs: bool `[H, W]`, e.g. from `differing`.
      side: shorter side of the whole picture.
    """
    contours, _ = cv2.findContours(differs.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for contour in contours:
        if cv2.contourArea(contour) < _LEAST_AREA * side * side:
            continue
        left, top, columns, rows = cv2.boundingRect(contour)
        x0, y0 = max(left - _MARGIN, 0), max(top - _MARGIN, 0)
        x1, y1 = min(left + columns + _MARGIN, differs.shape[1]), min(top + rows + _MARGIN, differs.shape[0])
        filled = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.drawContours(filled, [contour], -1, (1,), cv2.FILLED, offset=(-x0, -y0))
        mask = filled > 0
        found.append(Region(mask, mask & differs[y0:y1, x0:x1], x0, y0))
    return sorted(found, key=lambda r: (r.top, r.left))


def depth(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel of a bool mask to the outside, in pixels."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)


def core(region: Region, side: int) -> np.ndarray:
    """Where a region shows its own colour, between its blurred edge and what it may enclose: bool, in its frame."""
    inward = depth(region.solid)
    low = min(max(2.5, 0.02 * side), 0.6 * float(inward.max()))
    return (inward >= low) & (inward <= max(0.06 * side, low + 1))


def colour_of(image: np.ndarray, region: Region, surround: np.ndarray) -> tuple[str, np.ndarray]:
    """Name of a region's colour, and the colour itself, RGB float32 `[3]`.

    Where a region is thin, mixtures of the named colours with the surround are compared with what is seen, purer ones
    preferred, and the colour returned is the pure one.
    """
    side = min(image.shape[:2])
    seen = np.median(image[region.view][core(region, side)], axis=0).astype(np.float32)
    if 2 * depth(region.solid).max() > max(_THIN_PIXELS, _THIN * side):
        return _NAMES[_nearest(seen, _lab_palette(tuple(COLOURS.values())))], seen
    palette = np.array(list(COLOURS.values()), np.float32)
    mixtures = surround + _PURITIES[:, None, None] * (palette - surround)
    distances = np.linalg.norm(to_lab(mixtures) - lab_of(seen), axis=-1) + _IMPURITY * (1 - _PURITIES[:, None])
    number = int(distances.min(0).argmin())
    return _NAMES[number], palette[number]


def share(image: np.ndarray, surround: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """How much of `colour` over `surround` each pixel of an RGB image holds, from 0 to 1."""
    direction = colour - surround
    return np.clip((image - surround) @ (direction / max(float(direction @ direction), 1.0)), 0, 1)


def _nearest(colour: np.ndarray, palette: np.ndarray) -> int:
    return int(np.argmin(np.linalg.norm(palette - lab_of(colour), axis=1)))


@functools.cache
def _lab_palette(colours: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    return to_lab(np.array([colours]))[0]
