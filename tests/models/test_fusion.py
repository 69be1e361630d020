"""The fusion transformer: what a token may see of other tokens and of auxiliary memory, down to the last bit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.config import parse
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.models.memory import MemorySettings
from ugf_jax.models.vision import VisionSettings

VOCABULARY = 64
GRID = 2
SETTINGS = FusionSettings(
    width=32,
    depth=4,
    heads=4,
    kv_heads=2,
    cell_places=True,
    prompt_mean=True,
    cross_every=2,
    gate=0.7,
    grid=GRID,
    memory=MemorySettings(width=16, groups=2, codes=9, depth=1, heads=2, chunk=4),
    embedding=8,
)
# One document: three words, BOI, two sizes, four codes, EOI, five words. The image is generated, then looked at.
BOI, EOI, LENGTH = 3, 10, 16
NEVER = 2**30


def document(seed=0, release=EOI, positions=6):
    """Arrays of one unpadded document with one image."""
    rng = np.random.default_rng(seed)
    cells = np.full(LENGTH, -1)
    cells[BOI + 3 : EOI] = np.arange(GRID * GRID)
    return {
        "tokens": rng.integers(1, VOCABULARY, LENGTH),
        "segments": np.ones(LENGTH, int),
        "positions": np.arange(LENGTH),
        "cells": cells,
        "aux_codes": rng.integers(0, 9, (positions, 2)),
        "aux_segments": np.ones(positions, int),
        "aux_releases": np.full(positions, release),
        "aux_places": rng.uniform(0.1, 0.9, (positions, 4)).astype(np.float32),
        "aux_levels": np.zeros(positions, int),
    }


def batch(*documents):
    """Each document a row of its own."""
    rows = {name: np.stack([d[name] for d in documents]) for name in documents[0]}
    return {n: jnp.asarray(x, jnp.float32 if n == "aux_places" else jnp.int32) for n, x in rows.items()}


def packed(*documents, padding=3):
    """All documents in one row, with padding behind."""
    row = {}
    for name in documents[0]:
        parts = [d[name] * (number + 1 if "segments" in name else 1) for number, d in enumerate(documents)]
        whole = np.concatenate(parts)
        fill = {"aux_releases": NEVER, "cells": -1}.get(name, 0)
        row[name] = np.concatenate([whole, np.full((padding, *whole.shape[1:]), fill, whole.dtype)])
    return batch(row)


def init(model, arrays):
    return jax.jit(lambda: model.init(jax.random.key(0), arrays, method="everything"))()


@pytest.fixture(scope="module")
def model():
    return FusionTransformer(SETTINGS, VOCABULARY)


@pytest.fixture(scope="module")
def variables(model):
    """Parameters that are all random: the identity blocks of a fresh model would hide most mistakes."""
    made = init(model, batch(document()))
    keys = iter(jax.random.split(jax.random.key(1), 100))
    return jax.tree.map(lambda x: x + 0.2 * jax.random.normal(next(keys), x.shape), made)


@pytest.fixture(scope="module")
def run(model, variables):
    """`arrays → (memory values, logits)`, compiled once a shape."""

    @jax.jit
    def run(arrays):
        memory = model.apply(variables, arrays, method="remember")
        hidden = model.apply(variables, Tokens.of(arrays), memory)
        return memory.values, model.apply(variables, hidden, method="logits")

    return run


@pytest.fixture(scope="module")
def influence(model, variables):
    """Gradient of the log-likelihood at some positions with respect to auxiliary memory, before anything is masked."""

    @jax.jit
    def gradient(arrays, counted):
        def loss(values):
            hidden = model.apply(variables, Tokens.of(arrays), dataclasses.replace(memory, values=values))
            nll = -jax.nn.log_softmax(model.apply(variables, hidden, method="logits"))
            targets = jnp.roll(arrays["tokens"], -1, axis=1)
            return jnp.sum(jnp.take_along_axis(nll, targets[..., None], -1)[0, :, 0] * counted)

        memory = model.apply(variables, arrays, method="remember")
        return jax.grad(loss)(memory.values)

    return lambda arrays, positions: np.asarray(gradient(arrays, np.isin(np.arange(LENGTH), positions)))


def test_codes_of_a_generated_image_do_not_know_their_own_details(influence):
    arrays = batch(document(release=EOI))
    predicting_codes = np.arange(BOI, EOI)  # the query before EOI predicts EOI; none of them may look
    assert not influence(arrays, predicting_codes).any()
    assert not influence(arrays, np.arange(BOI)).any()


def test_what_follows_a_generated_image_does_know_its_details(influence):
    arrays = batch(document(release=EOI))
    for position in range(EOI, LENGTH - 1):
        assert influence(arrays, position).any()


def test_an_image_given_as_context_is_seen_from_its_first_token(influence):
    arrays = batch(document(release=BOI))
    assert influence(arrays, BOI).any()
    assert influence(arrays, np.arange(BOI + 3, EOI)).any()
    assert not influence(arrays, np.arange(BOI)).any()


def test_a_memory_never_released_is_never_seen(influence):
    arrays = batch(document(release=NEVER))
    assert not influence(arrays, np.arange(LENGTH - 1)).any()


def test_permuting_an_images_details_leaves_its_own_logits_bit_identical(run):
    first = document(release=EOI)
    order = np.array([3, 0, 5, 1, 4, 2])
    second = first | {name: first[name][order] for name in ("aux_codes", "aux_places")}
    one, other = np.asarray(run(batch(first))[1]), np.asarray(run(batch(second))[1])
    np.testing.assert_array_equal(one[0, :EOI], other[0, :EOI])
    third = first | {"aux_codes": (first["aux_codes"] + 1) % 9}
    other = np.asarray(run(batch(third))[1])
    np.testing.assert_array_equal(one[0, :EOI], other[0, :EOI])
    assert (one[0, EOI:] != other[0, EOI:]).any(axis=-1).all()


def test_text_and_master_tokens_leave_the_memory_bit_identical(run):
    first = document()
    second = first | {"tokens": document(7)["tokens"]}
    (memory, logits), (other_memory, other_logits) = run(batch(first)), run(batch(second))
    np.testing.assert_array_equal(memory, other_memory)
    assert (np.asarray(logits) != np.asarray(other_logits)).any()


def test_packed_documents_give_the_logits_of_each_alone(run):
    documents = [document(seed) for seed in range(3)]
    together = np.asarray(run(packed(*documents))[1])[0]
    for number, one in enumerate(documents):
        alone = np.asarray(run(batch(one))[1])[0]
        np.testing.assert_allclose(together[number * LENGTH :][:LENGTH], alone, rtol=2e-4, atol=2e-4)


def test_the_future_changes_nothing(run):
    first = document()
    second = first | {"tokens": np.where(np.arange(LENGTH) > 12, 1, first["tokens"])}
    one, other = (np.asarray(run(batch(d))[1])[0] for d in (first, second))
    np.testing.assert_array_equal(one[:13], other[:13])
    assert (one[13:] != other[13:]).any()


def test_data_without_auxiliary_codes_are_a_model_that_sees_none(model, variables, run):
    arrays = batch(document(positions=0))
    abstract = jax.eval_shape(lambda: model.init(jax.random.key(0), arrays, method="everything"))
    assert jax.tree.map(jnp.shape, abstract) == jax.tree.map(jnp.shape, variables)
    alone = model.apply(variables, model.apply(variables, Tokens.of(arrays)), method="logits")
    np.testing.assert_allclose(run(arrays)[1], alone, rtol=1e-5, atol=1e-5)
    assert np.abs(run(batch(document()))[1] - alone).max() > 1e-2


def test_with_gates_at_zero_there_is_only_the_language_model(model, variables):
    arrays = batch(document())
    params = variables["params"]
    closed = {"params": params | {"layers": params["layers"] | {"gate": jnp.zeros_like(params["layers"]["gate"])}}}
    look = jax.jit(lambda v: model.apply(v, Tokens.of(arrays), model.apply(v, arrays, method="remember")))
    with_memory = look(closed)
    # The same blocks, one a group, in a model that has no memory at all.
    plain = FusionTransformer(dataclasses.replace(SETTINGS, cross_every=0), VOCABULARY)
    layers = params["layers"]
    blocks = jax.tree.map(lambda a, b: jnp.stack([a, b], 1).reshape(-1, *a.shape[1:]), layers["block_0"], layers["block_1"])
    rest = {name: value for name, value in params.items() if name not in ("layers", "memory")}
    without = jax.jit(plain.apply)({"params": rest | {"layers": {"block_0": blocks}}}, Tokens.of(arrays))
    np.testing.assert_allclose(with_memory, without, rtol=1e-5, atol=1e-5)
    opened = look(variables)
    assert np.abs(np.asarray(opened) - np.asarray(without)).max() > 1e-2


def test_a_fresh_model_reads_nothing_and_is_free_to_learn_to():
    """A look that says something random at first is learnt to be shut out, and one behind a closed gate is not learnt."""
    arrays = batch(document())
    fresh = FusionTransformer(dataclasses.replace(SETTINGS, gate=FusionSettings().gate), VOCABULARY)
    variables = init(fresh, arrays)
    alone = jax.jit(lambda v: fresh.apply(v, Tokens.of(arrays)))(variables)

    def loss(variables):
        looking = fresh.apply(variables, Tokens.of(arrays), fresh.apply(variables, arrays, method="remember"))
        logits = fresh.apply(variables, looking, method="logits")
        return -jnp.mean(jax.nn.log_softmax(logits)[..., 0]), looking

    gradient, looking = jax.jit(jax.grad(loss, has_aux=True))(variables)
    np.testing.assert_array_equal(looking, alone)
    gradient = gradient["params"]["layers"]
    assert np.abs(gradient["cross"]["output"]["kernel"]).max(axis=(1, 2)).min() > 1e-5
    assert not np.any(gradient["gate"])


def test_places_of_cells_matter(run):
    first = document(release=BOI)
    cells = first["cells"].copy()
    cells[BOI + 3 : EOI] = cells[BOI + 3 : EOI][::-1]
    one, other = (np.asarray(run(batch(d))[1])[0] for d in (first, first | {"cells": cells}))
    np.testing.assert_array_equal(one[: BOI + 3], other[: BOI + 3])
    assert (one[BOI + 3 : EOI] != other[BOI + 3 : EOI]).any(axis=-1).all()


def test_recomputing_and_other_attention_change_nothing_but_rounding(variables):
    arrays = batch(document())

    def outcome(**changes):
        model = FusionTransformer(dataclasses.replace(SETTINGS, **changes), VOCABULARY)

        def loss(variables):
            memory = model.apply(variables, arrays, method="remember")
            return jnp.mean(model.apply(variables, Tokens.of(arrays), memory)[..., 0] ** 2)

        return jax.jit(jax.value_and_grad(loss))(variables)

    value, gradient = outcome(attention="reference")
    for changes in ({"remat": True}, {"attention": "chunked"}):
        other_value, other_gradient = outcome(**changes)
        assert float(value) == pytest.approx(float(other_value), rel=1e-5)
        for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(other_gradient), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_dropout_is_for_training_only(variables):
    arrays = batch(document())
    settings = dataclasses.replace(SETTINGS, dropout=0.5)
    still = FusionTransformer(settings, VOCABULARY).apply(variables, Tokens.of(arrays))
    rngs = {"dropout": jax.random.key(3)}
    moved = FusionTransformer(settings, VOCABULARY, train=True).apply(variables, Tokens.of(arrays), rngs=rngs)
    np.testing.assert_array_equal(still, FusionTransformer(SETTINGS, VOCABULARY).apply(variables, Tokens.of(arrays)))
    assert np.abs(np.asarray(still) - np.asarray(moved)).max() > 1e-3


def test_embeddings_have_length_one(model, variables):
    image, text, contrast = model.apply(variables, jnp.ones((3, 32)), -jnp.ones((3, 32)), method="embeddings")
    np.testing.assert_allclose(np.linalg.norm(image, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(text, axis=-1), 1, rtol=1e-5)
    assert contrast.shape == (2,)


def test_features_of_a_vision_tower_stand_where_they_are_put(variables):
    vision = VisionSettings(image_size=8, patch=4, width=8, depth=1, heads=2, hidden=16)
    model = FusionTransformer(dataclasses.replace(SETTINGS, vision=vision), VOCABULARY)
    arrays, crops = batch(document()), jax.random.uniform(jax.random.key(1), (1, 2, 8, 8, 3), minval=-1)
    params = {"params": init(model, arrays)["params"] | variables["params"]}

    def sources(starts):
        """Each crop's four features one after the other, from its start on."""
        found = np.full(arrays["tokens"].shape, -1)
        for crop, start in enumerate(starts):
            if start >= 0:
                found[0, start : start + 4] = np.arange(4) + 4 * crop
        return jnp.asarray(found)

    def run(params, tokens, sources):
        continuous = model.apply(params, crops, sources, method="see")
        return model.apply(params, tokens, None, continuous)[0]

    look = jax.jit(run)
    nowhere, somewhere = sources([-1, -1]), sources([5, -1])  # four features at 5 … 8
    plain = jax.jit(lambda p: model.apply(p, Tokens.of(arrays))[0])(params)
    np.testing.assert_array_equal(look(params, Tokens.of(arrays), nowhere), plain)
    shown = look(params, Tokens.of(arrays), somewhere)
    np.testing.assert_array_equal(shown[:5], plain[:5])
    assert (shown[5:] != plain[5:]).any(axis=-1).all()
    hidden = arrays | {"tokens": arrays["tokens"].at[0, 5:9].set(1)}  # what they stand in place of is not seen
    np.testing.assert_array_equal(look(params, Tokens.of(hidden), somewhere), shown)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(run(p, Tokens.of(arrays), somewhere)[9:] ** 2)))(params)["params"]
    for part in ("vision", "adapter"):
        assert all(np.asarray(g).any() for g in jax.tree.leaves(gradient[part])[:1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 5, "cross_every": 2}, "depth is 5; want a multiple of config.cross_every, 2"),
        ({"heads": 3}, "width is 1024; want a multiple of 2 x config.heads, 6"),
        ({"heads": 4, "kv_heads": 3}, "heads is 4; want a multiple of config.kv_heads, 3"),
        ({"memory": {"fsq_levels": (3, 3), "codes": 10}}, "fsq_levels make 9 codes; config.memory.codes is 10"),
        ({"qk_norm": "batch"}, "qk_norm is 'batch'"),
    ],
)
def test_sizes_that_do_not_fit_are_named(values, message):
    with pytest.raises(InputError, match=message):
        parse(FusionSettings, values)
