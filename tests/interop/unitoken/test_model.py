"""What the original cannot: batches, other sizes, one picture for both encoders, guidance from BOI on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.data.collate import collate_row
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.unitoken.layout import UniTokenLayout
from ugf_jax.generation.generate_tokens import GenerationSettings
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.interop.unitoken.model import UniToken, anyres_of
from ugf_jax.interop.unitoken.weights import read_unitoken
from ugf_jax.models.fusion import FusionTransformer, Tokens
from ugf_jax.training.stages.tokenizer import to_float

SIZES = [(8, 8), (4, 8), (8, 4)]  # its codes are of two pixels, a grid is of four


@pytest.fixture(scope="module")
def model(folder):
    return UniToken(read_unitoken(folder), sizes=SIZES)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_a_batch_of_sizes_gives_each_what_it_gives_alone(model):
    prompts, sizes = ["a", "bad cab", "c"], [(8, 8), (30, 61), (100, 50)]
    together = model.draw(prompts, sizes, seed=3)
    assert [images[0].shape[:2] for images in together] == sizes
    alone = model.draw(prompts[1:2], sizes[1], seed=4)
    np.testing.assert_array_equal(together[1][0], alone[0][0])
    assert (model.draw(prompts[:1], sizes[0], seed=9)[0][0] != together[0][0]).any()


def test_both_encoders_see_the_same_part(model):
    image = picture(90, 64)
    seen = model.encode(image, [(8, 8)])
    assert seen.codes.master.shape == (4, 4)
    np.testing.assert_array_equal(seen.region, image[16:82])  # of 11 rows, those from 2 to 10


def full(model, document, ids):
    """Logits of the whole sequence in one pass, `[positions, ids]`."""
    settings, words = model.parts.settings, model.parts.vocabulary
    network = FusionTransformer(settings, words.total)
    row = collate_row([(dataclasses.replace(document, spans=()),)], RowShape(len(document), 0, 0), 1, words.pad)
    tokens = {n: jnp.asarray(np.append(row[n], np.full(len(ids), fill))[None]) for n, fill in (("cells", -1), ("segments", 1))}
    tokens["tokens"] = jnp.asarray(np.append(row["tokens"], ids)[None])
    tokens["positions"] = jnp.arange(len(document) + len(ids))[None]
    seen = None
    if document.crops is not None:
        sources = jnp.asarray(np.append(document.features, np.full(len(ids), -1))[None])
        seen = network.apply({"params": model.parts.params}, to_float(document.crops[None]), sources, method="see")

    def logits(params):
        hidden = network.apply({"params": params}, Tokens.of(tokens), None, seen)
        return network.apply({"params": params}, hidden, method="logits")[0]

    return np.asarray(jax.jit(logits)(model.parts.params))


def test_decoding_with_features_equals_the_whole_sequence(model):
    request = model.request([("human", "a<|image|>b"), ("gpt", None)], [picture(40, 80)])
    assert (request.prompt.features >= 0).any()  # there is something to see
    greedy = GenerationSettings(text=SamplingSettings(temperature=0.0), image=SamplingSettings(temperature=0.0), guidance=1.0)
    tokens = model.generator.generate([request], greedy, "free", limit=8).row(0)
    logits = full(model, request.prompt, tokens)
    start = len(request.prompt) - 1
    expected = logits[start : start + len(tokens)].copy()
    expected[:, model.parts.vocabulary.boi] = -np.inf  # an image does not fit into eight tokens
    np.testing.assert_array_equal(expected.argmax(axis=-1), tokens)

    blind = dataclasses.replace(request.prompt, crops=None, features=None)  # a control: features matter
    assert np.abs(full(model, blind, tokens)[start] - logits[start]).max() > 1e-3


def test_guidance_compares_with_a_document_that_begins_at_boi(model):
    request = model.request([("human", "a bad cab"), ("gpt", None)], [], size=(4, 8), draw=True)
    how = GenerationSettings(image=SamplingSettings(temperature=0.0), guidance=4.0)
    tokens = model.generator.generate([request], how, "draw").row(0)
    words = model.parts.vocabulary
    given = full(model, request.prompt, tokens)[len(request.prompt) - 1 :]
    none = full(model, UniTokenLayout(words).special(words.boi).document("x"), tokens[1:])
    codes = slice(words.first_code, words.first_code + words.codes)
    checked = 0
    for place, token in enumerate(tokens):
        if words.first_code <= token < words.first_code + words.codes:
            conditional, unconditional = given[place, codes], none[place - 1, codes]
            assert (unconditional + 4.0 * (conditional - unconditional)).argmax() == token - words.first_code
            checked += 1
    assert checked == 2 * 4


def test_canvases_of_another_tower_have_as_many_crops():
    assert anyres_of(384, 14).pinpoints[0] == (384, 768)
    assert anyres_of(28, 14).pinpoints == ((28, 56), (56, 28), (56, 56), (28, 84), (84, 28))
