"""A program's preferences between pictures of a model."""

import dataclasses

import numpy as np
import pytest

from ugf_jax.data import shapes
from ugf_jax.data.records import ImageCodes
from ugf_jax.errors import InputError
from ugf_jax.feedback.drawn import Rater, judged_drawings
from ugf_jax.feedback.rlhf.prompts import Prompt
from ugf_jax.generation.unified_model import Drawing

BLANK = np.full((128, 128, 3), 255, np.uint8)
CODES = ImageCodes(np.zeros((2, 2), np.uint16), (np.zeros((2, 2, 1), np.uint16),), (np.ones((2, 2), bool),), (128, 128))


def drawn(number):
    """A prompt, and what a model drew for it: with details the first picture is right, without them the second."""
    text, requirement, scene = shapes.prompt_and_scene(number, "train")
    right = shapes.draw(scene, 128, 128)
    return Prompt(text, requirement), [Drawing(right, BLANK, CODES, 0.0), Drawing(BLANK, right, CODES, 0.0)]


class Model:
    """Gives prepared drawings, and remembers how it was asked."""

    def __init__(self, numbers):
        self.drawings = {prompt.text: drawings for prompt, drawings in map(drawn, numbers)}
        self.seeds = []

    def draw(self, prompts, size, seed, how, count):
        self.seeds += [seed + i for i in range(len(prompts))]
        assert (size, how.guidance, count) == ((128, 128), 1.0, 2)
        return [self.drawings[prompt] for prompt in prompts]


@pytest.mark.parametrize(("details", "winner"), [(True, 0), (False, 1)])
def test_the_picture_that_shows_more_wins_and_its_codes_are_kept(details, winner):
    numbers = range(20)
    model = Model(numbers)
    prompts = [drawn(number)[0] for number in numbers]
    records = list(judged_drawings(model, prompts, (128, 128), Rater(2, details=details, seed=5), first=7))
    assert [record.captions for record in records] == [(prompt.text,) for prompt in prompts]
    assert all(record.pairs == ((winner, 1 - winner, 1.0),) for record in records)
    assert all(bool(codes.auxiliary) == details for record in records for codes in record.codes)
    assert model.seeds == list(range(12, 32))


def test_a_rater_that_always_errs_prefers_the_other_picture():
    prompt, _ = drawn(3)
    (record,) = judged_drawings(Model([3]), [prompt], (128, 128), Rater(2, error_rate=1.0))
    assert record.pairs == ((1, 0, 1.0),)


def test_a_prompt_that_nobody_can_check_is_refused():
    prompt, _ = drawn(3)
    with pytest.raises(InputError, match=r"the checker does not know what .* requires"):
        list(judged_drawings(Model([3]), [dataclasses.replace(prompt, requirement=None)], (128, 128), Rater(2)))
