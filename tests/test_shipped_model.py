"""The model that comes with the package: it loads, draws, answers and finds, about as well as its figures say."""

import json

import numpy as np
import pytest

from ugf_jax import UnifiedModel
from ugf_jax.data import shapes
from ugf_jax.data.image import decode
from ugf_jax.evaluation.generation import check, is_right
from ugf_jax.evaluation.understanding import normal
from ugf_jax.generation.unified_model import FIGURES, SHIPPED

PROMPTS, SCENES = 14, 8
SLACK = 0.3  # so few items may miss the shipped figures by as much; a broken model misses by all


@pytest.fixture(scope="module")
def model():
    return UnifiedModel.load()


@pytest.fixture(scope="module")
def figures():
    return json.loads((SHIPPED / FIGURES).read_text())


@pytest.fixture(scope="module")
def examples():
    return [shapes.example(i, "test") for i in range(SCENES)]


def test_it_is_small_and_says_what_it_is(figures):
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 30e6
    card = (SHIPPED / "README.md").read_text()
    for word in ("## Data", "## Figures", "## Limits", "ugf train", "Apache-2.0"):
        assert word in card
    assert {"generation", "understanding", "retrieval"} <= set(figures)


def test_pictures_show_what_was_asked_for_at_a_size_that_training_never_saw(model, figures):
    size = (160, 272)
    prompts = [shapes.prompt(i, "test") for i in range(PROMPTS)]
    pictures = model.generate_image([text for text, _ in prompts], size)
    assert all(picture.shape == (*size, 3) for picture in pictures)
    right = np.mean([is_right(check(p, requirement)) for p, (_, requirement) in zip(pictures, prompts, strict=True)])
    assert right >= figures["generation"]["all"]["correct"]["value"] - SLACK


def test_answers_are_right_and_need_the_picture(model, examples, figures):
    asked = [(decode(e.images[0]), q["question"], normal(q["answer"])) for e in examples for q in e.questions[:4]]
    said = model.generate_text([[image] for image, _, _ in asked], [question for _, question, _ in asked], 8)
    right = np.mean([normal(a) == wanted for a, (_, _, wanted) in zip(said, asked, strict=True)])
    assert right >= figures["understanding"]["all"]["exact_match"]["value"] - SLACK
    other = model.generate_text([[image] for image, _, _ in asked[::-1]], [question for _, question, _ in asked], 8)
    assert right > np.mean([normal(a) == wanted for a, (_, _, wanted) in zip(other, asked, strict=True)])


def test_captions_find_their_pictures(model, examples):
    images = model.embed_image([decode(e.images[0]) for e in examples])
    texts = model.embed_text([max(e.captions, key=len) for e in examples])
    assert np.mean(np.argmax(texts @ images.T, axis=1) == np.arange(SCENES)) >= 0.5
