"""Codes that share parts: the sum is what a plain table would hold, and what is learnt of a code helps its like."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.models.fsq import FSQ
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.models.shared_codes import initial_parts, parts_count, shared_table
from ugf_jax.training import frozen
from ugf_jax.training.stages import unified

LEVELS = (4, 3)
WORDS = VocabularySettings(text=20, sizes=4, codes=12)
FIRST = WORDS.first_code
MODEL = FusionSettings(width=16, depth=1, heads=2, cross_every=0, tied=True, embedding=0, code_levels=LEVELS)


def test_codes_of_equal_levels_share_those_parts():
    parts = jax.random.normal(jax.random.key(0), (sum(LEVELS), 5))
    found = shared_table(jnp.zeros((WORDS.total, 5)), parts, LEVELS, "own", FIRST)
    values = np.asarray(FSQ(LEVELS).lookup(jnp.arange(12)))
    for code, (one, other) in enumerate(values):
        first, second = (int(np.searchsorted(np.unique(values[:, n]), v)) for n, v in enumerate((one, other)))
        np.testing.assert_allclose(found[FIRST + code], parts[first] + parts[LEVELS[0] + second], rtol=1e-6)
    others = np.delete(np.asarray(found), np.arange(FIRST, FIRST + 12), axis=0)
    assert not others.any()


def test_with_products_a_code_is_made_of_its_parts_alone():
    parts = initial_parts(jax.random.key(0), LEVELS, "product", 5, 0.02)
    assert parts.shape == (parts_count(LEVELS, "product"), 5) == (14, 5)
    found = shared_table(jnp.ones((WORDS.total, 5)), parts, LEVELS, "product", FIRST)
    for code in range(12):
        first, second = code % 4, LEVELS[0] + code // 4
        expected = parts[first] + parts[second] + parts[7 + first] * parts[7 + second]
        np.testing.assert_allclose(found[FIRST + code], expected, rtol=1e-5)
    assert np.all(np.delete(np.asarray(found), np.arange(FIRST, FIRST + 12), axis=0) == 1)


def test_parts_and_their_products_start_equally_large():
    levels = (32, 256)
    parts = np.asarray(initial_parts(jax.random.key(0), levels, "product", 64, 0.02))
    factors = parts[sum(levels) :]
    assert np.std(parts[: sum(levels)]) == pytest.approx(0.02, rel=0.05)
    assert np.std(factors[:32, None] * factors[None, 32:]) == pytest.approx(0.02, rel=0.1)


@pytest.fixture(scope="module", params=["own", "product"])
def shared(request):
    model = FusionTransformer(dataclasses.replace(MODEL, code_rows=request.param), WORDS.total, first_code=FIRST)
    ids = jnp.arange(WORDS.total)[None, :]
    tokens = Tokens(ids, jnp.ones_like(ids), ids, jnp.full_like(ids, -1))
    params = model.init(jax.random.key(1), tokens)["params"]
    return model, tokens, params


def logits(model, params, tokens):
    hidden = model.apply({"params": params}, tokens)
    return model.apply({"params": params}, hidden, method="logits")


def test_a_plain_model_computes_the_same_with_the_sum(shared):
    model, tokens, params = shared
    settings = unified.Settings(model=model.settings, vocabulary=WORDS)
    plain = FusionTransformer(frozen.without_sharing(model.settings), WORDS.total)
    folded = frozen.plain_params(settings, params)
    assert "code_parts" not in folded
    np.testing.assert_allclose(logits(plain, folded, tokens), logits(model, params, tokens), atol=1e-5)
    bare = {name: value for name, value in params.items() if name != "code_parts"}
    assert np.abs(logits(plain, bare, tokens) - logits(model, params, tokens)).max() > 1e-3  # the parts do count


def test_what_is_learnt_of_a_code_moves_codes_that_are_like_it_and_no_others(shared):
    model, tokens, params = shared
    gradient = jax.grad(lambda p: logits(model, p, tokens)[0, 0, FIRST])(params)["code_parts"]
    moved = shared_table(jnp.zeros((WORDS.total, 16)), gradient[:7], LEVELS, "own", FIRST)[FIRST : FIRST + 12]
    alike = np.asarray([code % 4 == 0 or code // 4 == 0 for code in range(12)])  # share a level with code 0
    by_output = np.abs(np.asarray(moved) @ np.asarray(model.apply({"params": params}, tokens))[0, 0])
    assert by_output[alike].min() > 0
    assert by_output[0] > by_output[~alike].max()


def test_levels_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"code_levels make 12 codes; config\.vocabulary\.codes is 1000"):
        unified.Settings(model=dataclasses.replace(MODEL, embedding=8)).validate("config")
    with pytest.raises(InputError, match=r"want config\.model\.tied"):
        dataclasses.replace(MODEL, tied=False).validate("config.model")
    with pytest.raises(ValueError, match="without first_code"):
        FusionTransformer(MODEL, WORDS.total).init(jax.random.key(0), Tokens(*[jnp.zeros((1, 1), jnp.int32)] * 4))
