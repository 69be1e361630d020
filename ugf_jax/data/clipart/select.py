"""Which drawings go where: groups that look alike stay in one split; folders take turns, so that none dominates."""

import collections
import dataclasses
import hashlib
import re
from collections.abc import Sequence

import numpy as np

from ugf_jax.data.clipart import hashes
from ugf_jax.data.clipart.metadata import Metadata

SPLITS = ("train", "validation", "test")
COUNTS = {"train": 1250, "validation": 100, "test": 150}

# Most drawings of the small set from one part of the collection; every other folder takes turns without a limit.
LIMITS = {
    "computer/buttons": 20,
    "computer/icons": 8,
    "geography": 60,
    "people/stickmen": 14,
    "recreation/games/cards": 40,
    "shapes/arrows": 25,
    "shapes/callouts": 14,
    "shapes/flowchart": 8,
    "shapes/jigsaw": 10,
    "shapes/stars": 8,
    "signs_and_symbols/flags": 110,
    "signs_and_symbols/led": 6,
    "signs_and_symbols/map_symbols": 25,
    "signs_and_symbols/weather": 12,
    "special/gradients": 14,
    "transportation/aiga-symbols": 25,
    "transportation/boating": 20,
}
MIN_SIDE, MAX_ASPECT, MIN_INK, MIN_CONTRAST = 160, 4.0, 0.03, 8.0
LARGEST_HELD_OUT_GROUP = 6


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One acceptable drawing.

    Attributes:
      path: of the PNG file, relative to the collection, `/` between folders.
      key: unique name without dots.
      metadata: from the SVG file.
      height, width: in pixels, page cut away.
      ink: fraction of pixels that are not white.
      contrast: standard deviation of the pixel values, 0–255.
      hashes: as `hashes.hash_image`.
    """

    path: str
    key: str
    metadata: Metadata
    height: int
    width: int
    ink: float
    contrast: float
    hashes: tuple[int, int, int, int]

    @property
    def folder(self) -> str:
        """Folder of the file within the collection."""
        return self.path.rpartition("/")[0]

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height


def make_keys(paths: Sequence[str]) -> list[str]:
    """`animals/birds/owl_01.png` → `animals-birds-owl_01`, made unique by a number where needed."""
    seen: collections.Counter[str] = collections.Counter()
    keys = []
    for path in paths:
        key = re.sub(r"[^a-z0-9_-]+", "_", path.rpartition(".")[0].lower().replace("/", "-")).strip("_")
        seen[key] += 1
        keys.append(key if seen[key] == 1 else f"{key}__{seen[key]}")
    return keys


def assign_splits(drawings: Sequence[Drawing]) -> list[str]:
    """The split of each drawing: whole groups of drawings that look alike or share a name go to one split.

    Large groups (cards, flags, arrows) are chains of drawings that look alike and stay in train.
    """
    group = hashes.components(len(drawings), _ties(drawings))
    sizes = collections.Counter(group.tolist())
    return [_draw(drawings[g].key) if sizes[g] <= LARGEST_HELD_OUT_GROUP else "train" for g in group.tolist()]


def _draw(key: str) -> str:
    """A split by lot: about 14 % test, 10 % validation."""
    lot = _lot(key)
    return "test" if lot < 0.14 else "validation" if lot < 0.24 else "train"


def _lot(key: str) -> float:
    """A number in [0, 1) that depends on nothing but the key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") / 2**56


def _ties(drawings: Sequence[Drawing]) -> list[tuple[int, int]]:
    """Pairs of drawings that look alike, or whose names differ by a number or by "black and white" only."""
    found = hashes.neighbours(hashes.stack([d.hashes for d in drawings]), hashes.RELATED)
    ties = [(i, int(j)) for i, others in enumerate(found) for j in others]
    first: dict[str, int] = {}
    for i, drawing in enumerate(drawings):
        title = drawing.metadata.title.lower() if len(drawing.metadata.title) > 3 else drawing.path
        name = re.sub(r"[^a-z]|bw(?![a-z])", "", drawing.path.rpartition("/")[2].rpartition(".")[0].lower())
        for label in (f"name {name}", f"title {title} {drawing.metadata.author} {drawing.folder}"):
            ties.append((first.setdefault(label, i), i))
    return ties


def choose(drawings: Sequence[Drawing], splits: Sequence[str], counts: dict[str, int] | None = None) -> list[int]:
    """Numbers of the drawings of the small set, in order.

    Folders take turns; within a folder large, wide and tall ones come first. None looks like another one that was chosen.
    """
    counts = COUNTS if counts is None else counts
    suitable = [i for i, drawing in enumerate(drawings) if is_suitable(drawing)]
    near = hashes.neighbours(hashes.stack([drawings[i].hashes for i in suitable]), hashes.ALIKE)
    alike = {i: {suitable[j] for j in others} for i, others in zip(suitable, near, strict=True)}
    chosen: set[int] = set()
    used: collections.Counter[str] = collections.Counter()
    for split in ("test", "validation", "train"):
        wanted = counts[split]
        for i in _in_turns(drawings, [i for i in suitable if splits[i] == split]):
            part = next((p for p in LIMITS if (drawings[i].folder + "/").startswith(p + "/")), None)
            if wanted and not alike[i] & chosen and (part is None or used[part] < LIMITS[part]):
                chosen.add(i)
                used[part or ""] += 1
                wanted -= 1
    return sorted(chosen)


def is_suitable(drawing: Drawing) -> bool:
    """Whether a drawing is large, plain to see and not too long for the small set."""
    long, short = max(drawing.height, drawing.width), min(drawing.height, drawing.width)
    return long >= MIN_SIDE and long <= MAX_ASPECT * short and drawing.ink >= MIN_INK and drawing.contrast >= MIN_CONTRAST


def _in_turns(drawings: Sequence[Drawing], numbers: Sequence[int]) -> list[int]:
    """`numbers` reordered: the first of each folder, then the second of each, and so on."""
    folders = collections.defaultdict(list)
    for i in numbers:
        folders[drawings[i].folder].append(i)
    turns = []
    for members in folders.values():
        members.sort(key=lambda i: (-_merit(drawings[i]), _lot(drawings[i].key)))
        turns += [(turn, _lot(drawings[i].key), i) for turn, i in enumerate(members)]
    return [i for _, _, i in sorted(turns)]


def _merit(drawing: Drawing) -> int:
    """Higher for wide and tall drawings (up to 3, from a ratio of about 2.4) and for large ones (2)."""
    elongated = min(round(abs(np.log2(drawing.aspect)) * 2), 3)
    return elongated + 2 * (max(drawing.height, drawing.width) >= 400)
