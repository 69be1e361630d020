"""The whole model: exact sizes, nothing but the prompt and the seed decides, and what is refused."""

import shutil

import numpy as np
import pytest

import ugf_jax
from ugf_jax.data.documents import CODE
from ugf_jax.data.records import Record
from ugf_jax.errors import InputError
from ugf_jax.generation.generate_tokens import GenerationSettings
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.generation.unified_model import UnifiedModel


@pytest.fixture(scope="module")
def model(tiny_model):
    return UnifiedModel.load(tiny_model)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((16, 16), (16, 30), (33, 16), (16, 16))]


def test_the_package_offers_it():
    assert ugf_jax.UnifiedModel is UnifiedModel
    with pytest.raises(AttributeError, match="no attribute 'Unified'"):
        ugf_jax.Unified  # noqa: B018


def test_images_have_exactly_the_size_asked_for(model):
    sizes = [(16, 16), (13, 29), (40, 9)]
    found = model.generate_image(["a", "b", "c"], sizes, guidance=1.0)
    assert [image.shape for image in found] == [(*size, 3) for size in sizes]
    assert all(image.dtype == np.uint8 for image in found)


def test_a_prompt_and_a_seed_decide_alone(model):
    how = GenerationSettings(guidance=2.0)
    together = model.draw(["a red thing", "another", "a red thing"], (16, 16), 5, how, count=2)
    (alone,) = model.draw(["another"], (16, 16), [6], how, count=2)
    for one, other in zip(together[1], alone, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.codes.master, other.codes.master)
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)
    samples = [drawing.codes.master.tolist() for drawings in together for drawing in drawings]
    assert len({str(s) for s in samples}) > 3  # samples and seeds differ


def test_codes_of_a_drawing_decode_to_it(model):
    ((drawing,),) = model.draw(["x"], (16, 24))
    np.testing.assert_array_equal(model.decode(drawing.codes), drawing.image)
    assert drawing.master.shape == drawing.image.shape
    assert (drawing.master != drawing.image).any()  # noise draws noise: details are not nothing


def test_answers_are_text_and_do_not_depend_on_the_batch(model, images):
    questions = ["what?", "why is it so?", ""]
    lists = [[images[0]], [images[1], images[2]], [images[3]]]
    answers = model.generate_text(lists, questions, max_tokens=6)
    assert [type(answer) for answer in answers] == [str] * 3
    assert answers[1:2] == model.generate_text(lists[1:2], questions[1:2], max_tokens=6)
    sampled = model.generate_text(lists[:1], questions[:1], 6, SamplingSettings(temperature=2.0), seed=4)
    assert sampled != answers[:1]


def test_embeddings_have_length_one_and_come_in_order(model, images):
    found = model.embed_image(images)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[2], model.embed_image([images[2]])[0], rtol=1e-4, atol=1e-5)
    texts = model.embed_text(["a", "something much longer than that", "b"])
    np.testing.assert_allclose(texts[1], model.embed_text(["something much longer than that"])[0], rtol=1e-4, atol=1e-5)
    assert found.shape[1] == texts.shape[1]


def test_without_memory_only_master_codes_count(model, tiny_model, images):
    blind = UnifiedModel.load(tiny_model, memory=False)
    for seen, unseen in zip(model.encode(images), blind.encode(images), strict=True):
        np.testing.assert_array_equal(seen.master, unseen.master)
        assert [kept.shape for kept in seen.kept] == [kept.shape for kept in unseen.kept]
        assert any(kept.any() for kept in seen.kept)
        assert not any(kept.any() for kept in unseen.kept)
    assert np.abs(model.embed_image(images[:1]) - blind.embed_image(images[:1])).max() > 1e-4


def test_likelihoods_count_codes_and_words(model, images):
    caption = "a red circle"
    (found,) = model.likelihood([Record("a", (), ((16, 16),), (caption,), codes=tuple(model.encode(images[:1])))])
    assert found["image"][1] == 4
    assert found["text"][1] == len(model.text.encode(caption)) + 1
    assert all(nats > 0 for nats, _ in found.values())


def test_a_sampled_image_has_the_log_probability_of_a_whole_pass(model):
    how = GenerationSettings(guidance=1.0)
    ((drawing,),) = model.draw(["two blue squares"], (16, 16), 3, how)
    document = model._caption_to_image("two blue squares", drawing.codes)
    assert np.count_nonzero(document.kinds == CODE) == 4
    # The sampler draws among codes only; the whole pass also gives ids that are no codes their share.
    nats = float(model.reader.score([document])[0].image_nats)
    assert -drawing.log_probability <= nats


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.generate_image([""]), "an empty prompt"),
        (lambda m: m.generate_image(["a"], (0, 5)), r"size 5x0 \(width x height\)"),
        (lambda m: m.generate_image(["a", "b"], [(8, 8)]), "1 sizes for 2 prompts"),
        (lambda m: m.generate_text([[]], ["a", "b"]), "2 questions and 1 lists of images"),
        (lambda m: m.generate_text([["none.png"]], ["a"]), r"none\.png: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_line(model, call, message):
    with pytest.raises(InputError, match=message):
        call(model)


def test_a_model_with_other_shapes_is_refused(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"width": 32', '"width": 64'))
    with pytest.raises(InputError, match=r"its config\.json wants"):
        UnifiedModel.load(folder)
