"""Records with random texts and codes, as many kinds as documents are made of."""

import numpy as np
import pytest

from ugf_jax.data.records import ImageCodes, Record

WORDS = (
    "a red circle",
    "two cats",
    "",
    "é 😀",
    "on a blue background.",
    "<|im_end|> <boi>",
    "7 of 12",
    "the small star is left of it",
)


def random_codes(rng: np.random.Generator) -> ImageCodes:
    """Codes of an image with one or two levels, of which some positions are skipped."""
    rows, columns = rng.integers(1, 5, 2)
    grids = [(rows, columns), (2 * rows, 2 * columns)][: rng.integers(1, 3)]
    return ImageCodes(
        rng.integers(0, 100, rng.integers(1, 4, 2)).astype(np.uint16),
        tuple(rng.integers(0, 50, (*grid, 2)).astype(np.uint16) for grid in grids),
        tuple(rng.random(grid) < 0.7 for grid in grids),
        (int(rows) * 8, int(columns) * 8),
    )


def random_text(rng: np.random.Generator, most: int = 5) -> str:
    return " ".join(rng.choice(WORDS, rng.integers(0, most)))


def random_turns(rng: np.random.Generator, images: int) -> list[dict[str, str]]:
    """Turns of anyone in any order with `images` marks, some side by side, in texts that may be empty."""
    turns = [{"from": str(rng.choice(["human", "gpt", "system"], p=[0.45, 0.45, 0.1])), "value": random_text(rng)}]
    for _ in range(rng.integers(0, 5)):
        turns.append({"from": str(rng.choice(["human", "gpt"])), "value": random_text(rng)})
    for _ in range(images):
        turn = turns[rng.integers(len(turns))]
        turn["value"] += "<|image|>" + random_text(rng, 3)
    return turns


@pytest.fixture(scope="session")
def make_codes():
    """`make_codes(seed)`: codes of an image."""
    return lambda seed: random_codes(np.random.default_rng(seed))


@pytest.fixture(scope="session")
def make_record():
    """`make_record(seed)`: a record with any of captions, questions, turns and images with codes."""

    def make(seed: int) -> Record:
        rng = np.random.default_rng(seed)
        images = int(rng.integers(0, 4))
        codes = tuple(random_codes(rng) for _ in range(images))
        captions = tuple(random_text(rng, 9) + str(i) for i in range(rng.integers(0, 4)))
        questions = tuple({"question": random_text(rng) + "?", "answer": random_text(rng)} for _ in range(rng.integers(0, 6)))
        turns = tuple(random_turns(rng, images)) if rng.random() < 0.6 else ()
        sizes = tuple(c.bucket for c in codes)
        return Record(f"r{seed}", sizes=sizes, captions=captions, questions=questions, turns=turns, codes=codes)

    return make
