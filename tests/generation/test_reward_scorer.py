"""Scores are those of the model on each document alone, by each model of an ensemble."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.data.collate import collate_row
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.documents import Layout, text_to_embed
from ugf_jax.data.judged import EMBEDDED, judged_row
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.generation.forward import DocumentReader
from ugf_jax.generation.reward_scorer import RewardScorer
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.memory import MemorySettings
from ugf_jax.training.frozen_reward import FrozenReward, abstract_params
from ugf_jax.training.reward_model import RewardModel, without_vision

TEXT = TextTokenizer.load()
WORDS = VocabularySettings(text=TEXT.size, sizes=8, codes=20)
MODEL = FusionSettings(width=16, depth=1, heads=2, cross_every=1, grid=2, gate=0.5, memory=MemorySettings(8, 2, 9))
SETTINGS = without_vision(MODEL)
PROMPTS = ["a red circle", "a very long prompt " * 30, "", "blue"]


def model(seed):
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda x: jnp.asarray(0.3 * rng.standard_normal(x.shape), jnp.float32), abstract_params(SETTINGS, WORDS)
    )
    return FrozenReward(SETTINGS, WORDS, TEXT, params, 60, "one", True, 3, {})


def codes(seed):
    rng = np.random.default_rng(seed)
    return ImageCodes(rng.integers(0, 20, (2, 2)), (rng.integers(0, 9, (2, 3, 2)),), (rng.random((2, 3)) < 0.8,), (32, 48))


def alone(one, prompt, image):
    row = collate_row(judged_row(EMBEDDED, TEXT.encode(prompt), image, WORDS, 60), RowShape(64, 256, 1), 2, WORDS.pad)
    return float(RewardModel(SETTINGS, WORDS.total).apply({"params": one.params}, jax.tree.map(lambda x: x[None], row))[0])


def test_scores_are_those_of_each_document_alone():
    models, images = [model(0), model(1)], [codes(i) for i in range(4)]
    scorer = RewardScorer(models)
    found = scorer.score(PROMPTS, images)
    assert found.shape == (2, 4)
    assert found[0, 1] == pytest.approx(alone(models[0], PROMPTS[1], images[1]), rel=1e-4, abs=1e-5)
    assert found[1, 2] == pytest.approx(alone(models[1], PROMPTS[2], images[2]), rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(scorer.score(PROMPTS[::-1], images[::-1]), found[:, ::-1], rtol=1e-5, atol=1e-6)
    changed = [dataclasses.replace(images[0], auxiliary=((images[0].auxiliary[0] + 1) % 9,)), *images[1:]]
    assert (scorer.score(PROMPTS, changed) != found).tolist() == [[True, False, False, False]] * 2  # details are seen
    assert scorer.score([], []).shape == (2, 0)
    assert scorer.digest != RewardScorer(models[:1]).digest


def test_readings_are_the_likelihoods_and_the_embeddings_of_each_document_alone():
    one, images, short = model(0), [codes(i) for i in range(4)], ["a red circle", "blue", "", "two"]
    texts = [TEXT.encode(text) for text in short]
    reader = DocumentReader(SETTINGS, WORDS, one.params["fusion"])

    def likelihoods(documents, modality):
        return -np.array([getattr(found, f"{modality}_nats") for found in reader.score(documents)])

    def describe(text, image):
        layout = Layout(WORDS).special(WORDS.user).image(0, image, "context").special(WORDS.end).special(WORDS.assistant)
        return layout.text([*text, WORDS.end], trained=True).document("caption")

    def draw(text, image):
        layout = Layout(WORDS).special(WORDS.user).text(text).special(WORDS.end).special(WORDS.assistant)
        return layout.image(0, image, "generated").document("generate")

    unprompted = [Layout(WORDS).image(0, image, "generated").document("generate") for image in images]
    described = likelihoods([describe(*both) for both in zip(texts, images, strict=True)], "text")
    drawn = likelihoods([draw(*both) for both in zip(texts, images, strict=True)], "image")
    cosines = np.sum(reader.embed_codes(images) * reader.embed([text_to_embed(t, WORDS) for t in texts], "text"), axis=1)
    expected = {"description": described, "drawing": drawn - likelihoods(unprompted, "image"), "similarity": cosines}
    nothing = dict.fromkeys(("score", *expected), jnp.zeros(()))
    nothing["score"] = jnp.zeros_like(one.params["score"])
    for name, values in expected.items():
        alone = dataclasses.replace(one, params={**one.params, **nothing, name: jnp.asarray(0.5)})
        np.testing.assert_allclose(RewardScorer([alone]).score(short, images)[0], 0.5 * values, rtol=1e-4, atol=1e-5)
        assert np.std(values) > 0


def test_codes_of_another_tokenizer_are_refused_where_they_are_known():
    scorer = RewardScorer([model(0)], ["runs/a"])
    scorer.check_codes("one", "config.rewards.x")
    scorer.check_codes("", "config.rewards.x")
    with pytest.raises(InputError, match=r"config\.rewards\.x: runs/a judges codes of another image tokenizer"):
        scorer.check_codes("two", "config.rewards.x")


def test_models_of_other_codes_do_not_judge_together():
    with pytest.raises(InputError, match="b: trained on another vocabulary, or on codes of another tokenizer, than a"):
        RewardScorer([model(0), dataclasses.replace(model(1), codes="two")], ["a", "b"])
    with pytest.raises(InputError, match="one of b and a has seen auxiliary codes, the other has not"):
        RewardScorer([model(0), dataclasses.replace(model(1), details=False)], ["a", "b"])
