"""Perceptual hashes: which drawings look alike, also when mirrored, recoloured or drawn at another size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ugf_jax.errors import InputError

# Largest distances (phash, dhash), in bits of 64, judged by looking at pairs of drawings.
ALIKE = (8, 10)  # the same drawing, perhaps in other colours or with a small change
RELATED = (12, 16)  # of one series, or alike in layout: must not be in two splits


class Hashes(NamedTuple):
    """Hashes of `n` images, uint64 each: of the image, and of its mirror image."""

    phash: np.ndarray
    dhash: np.ndarray
    mirrored_phash: np.ndarray
    mirrored_dhash: np.ndarray


def hash_image(image: np.ndarray) -> tuple[int, int, int, int]:
    """The four 64-bit hashes of a uint8 `[height, width, 3]` image, in the order of `Hashes`."""
    try:
        import imagehash  # only to build the set
    except ImportError as error:
        raise InputError("the package ImageHash is missing; install the extra: pip install 'ugf-jax[clipart]'") from error
    gray = Image.fromarray(image).convert("L")
    mirror = ImageOps.mirror(gray)
    return tuple(_as_int(h(i)) for i in (gray, mirror) for h in (imagehash.phash, imagehash.dhash))  # type: ignore[return-value]


def _as_int(hashed: object) -> int:
    return int("".join("1" if bit else "0" for bit in hashed.hash.ravel()), 2)  # type: ignore[attr-defined]


def stack(hashes: Sequence[tuple[int, int, int, int]]) -> Hashes:
    """Many results of `hash_image` as arrays."""
    return Hashes(*np.array(hashes, np.uint64).reshape(-1, 4).T)


def distances(hashes: Hashes, i: int, others: Hashes) -> tuple[np.ndarray, np.ndarray]:
    """Hamming distances (phash, dhash), each `[len(others)]`, from image `i`, the nearer of plain and mirrored."""
    plain = np.bitwise_count(others.phash ^ hashes.phash[i]), np.bitwise_count(others.dhash ^ hashes.dhash[i])
    mirror = (
        np.bitwise_count(others.phash ^ hashes.mirrored_phash[i]),
        np.bitwise_count(others.dhash ^ hashes.mirrored_dhash[i]),
    )
    nearer = plain[0].astype(int) + plain[1] <= mirror[0].astype(int) + mirror[1]
    return np.where(nearer, plain[0], mirror[0]), np.where(nearer, plain[1], mirror[1])


def neighbours(hashes: Hashes, limits: tuple[int, int]) -> list[np.ndarray]:
    """For each image the numbers of the other images within `limits`, e.g. `ALIKE`."""
    found = []
    for i in range(len(hashes.phash)):
        phash, dhash = distances(hashes, i, hashes)
        near = (phash <= limits[0]) & (dhash <= limits[1])
        near[i] = False
        found.append(np.flatnonzero(near))
    return found


def components(count: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Union-find: for each of `count` items the smallest item that a chain of `pairs` ties it to, `[count]`."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(i) for i in range(count)], np.int64)
