"""A rater that is a program: it prefers the picture of which more is right, and errs as often as it is told to.

It makes as many preferences as are wanted, and what is learnt from them can be compared with what they were made from: of pairs
that are no tie, a perfect model agrees with a share of 1 - error_rate.
"""

import hashlib
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ugf_jax.data.preferences import Pairs, judged
from ugf_jax.data.records import Record
from ugf_jax.data.shapes.checker import find
from ugf_jax.data.shapes.examples import encode_png
from ugf_jax.data.shapes.requirements import Requirement, score
from ugf_jax.errors import InputError


class Draws(Protocol):
    """Where chance comes from: `random.Random` and `numpy.random.Generator` both do."""

    def random(self) -> Any:
        """A number from 0 up to 1."""


def rate(pictures: Sequence[np.ndarray], requirement: Requirement, rng: Draws, error_rate: float = 0.0, most: int = 0) -> Pairs:
    """Compares pictures of one prompt, pair by pair.

    Args:
      pictures: uint8 `[H, W, 3]` each, RGB.
      requirement: what the prompt demands.
      rng: decides which preferences are wrong, and which pairs are judged where `most` leaves some out.
      error_rate: probability that a preference names the loser, 0 to 1. A tie stays one.
      most: pairs to judge, those of different scores first; 0 judges all. Pairs of equal pictures are never judged.

    Returns:
      (winner, loser, weight) by number in `pictures`: weight 1, or both orders with 0.5 where the scores are equal.

    Raises:
      InputError: `error_rate` is no probability.
    """
    return _pairs(pictures, [score(find(p).scene, requirement) for p in pictures], rng, error_rate, most)


def preferences(
    drawn: Iterable[tuple[str, Requirement, Sequence[np.ndarray]]], error_rate: float = 0.0, seed: int = 0, most: int = 0
) -> Iterator[Record]:
    """Pictures of prompts, for example of a generator, as records with preferences; `write_dataset` makes a dataset of them.

    Args:
      drawn: prompt, what it requires, and its pictures, for example with `prompt(i, "train")` of `ugf_jax.data.shapes`.
      error_rate, most: as in `rate`.
      seed: of the errors. What is said of a prompt depends on the seed, the prompt and its pictures alone.

    Yields:
      a record a prompt, of which `meta` has the requirement, and the score of each image in `images`. A prompt of which all
      pictures are equal gives none.

    Raises:
      InputError: `error_rate` is no probability.
    """
    for prompt, requirement, pictures in drawn:
        scores = [score(find(p).scene, requirement) for p in pictures]
        files = tuple(map(encode_png, pictures))
        digest = hashlib.sha256(b"\0".join((prompt.encode(), *files))).hexdigest()
        rng = random.Random(f"shapes rater {seed} {digest}")
        pairs = _pairs(pictures, scores, rng, error_rate, most)
        if not pairs:
            continue
        yield Record(
            key=f"rated-{digest[:16]}",
            images=files,
            sizes=tuple((p.shape[0], p.shape[1]) for p in pictures),
            captions=(prompt,),
            meta={
                "source": "shapes rater",
                "error_rate": error_rate,
                "requirement": requirement.to_json(),
                "images": [{"score": s} for s in scores],
            },
            pairs=pairs,
        )


def _pairs(pictures: Sequence[np.ndarray], scores: Sequence[float], rng: Draws, error_rate: float, most: int) -> Pairs:
    if not 0 <= error_rate <= 1:
        raise InputError(f"error_rate is {error_rate!r}; want a probability, 0 to 1")
    differing = [
        (i, j) for i, j in itertools.combinations(range(len(pictures)), 2) if not np.array_equal(pictures[i], pictures[j])
    ]
    if most and len(differing) > most:
        order = sorted((scores[i] == scores[j], float(rng.random()), (i, j)) for i, j in differing)
        differing = sorted(pair for _, _, pair in order[:most])
    found: list[tuple[int, int, float]] = []
    for i, j in differing:
        wrong = float(rng.random()) < error_rate
        share = 0.5 if scores[i] == scores[j] else float((scores[i] > scores[j]) != wrong)
        found += judged(i, j, share)
    return tuple(found)
