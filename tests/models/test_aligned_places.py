"""A fresh model looks at the details of the place where it is, and so learns what is there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax.models.aligned_places import align_places, offsets, shift
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.models.memory import MemorySettings
from ugf_jax.models.places import WAVES, cell_places, place_features

GRID, FINE, VALUES = 8, 16, 8  # cells and positions along a side; values of what is asked for
SETTINGS = FusionSettings(
    width=48, depth=2, heads=4, cross_every=1, gate=0.5, grid=GRID, tied=True, embedding=0, cell_places=True,
    memory=MemorySettings(32, 4, 1000, (VALUES, 5, 5, 5)),
)  # fmt: skip


def picture(key, rows):
    """Tokens that say nothing, and a memory of random codes; for each cell the first digit of a code at one position of it."""
    cells, (row, column) = jnp.arange(GRID**2), jnp.divmod(jnp.arange(FINE**2), FINE)
    side = jnp.full(FINE**2, 1 / FINE)
    codes = jax.random.randint(key, (rows, FINE**2, 4), 0, 1000)

    def each(x):
        return jnp.broadcast_to(x, (rows, *x.shape))

    zeros, ones = jnp.zeros(FINE**2, jnp.int32), jnp.ones(FINE**2, jnp.int32)
    batch = {
        "tokens": jnp.ones((rows, GRID**2), jnp.int32), "segments": each(jnp.ones_like(cells)), "positions": each(cells),
        "cells": each(cells), "aux_codes": codes, "aux_segments": each(ones), "aux_releases": each(zeros),
        "aux_levels": each(zeros), "aux_places": each(jnp.stack([(row + 0.5) / FINE, (column + 0.5) / FINE, side, side], 1)),
    }  # fmt: skip
    return batch, codes[:, (2 * (cells // GRID) + 1) * FINE + 2 * (cells % GRID), 0] % VALUES


@functools.cache
def fresh(settings=SETTINGS):
    model = FusionTransformer(settings, VALUES)
    return model, model.init(jax.random.key(0), picture(jax.random.key(1), 1)[0], method="everything")["params"]


def own_share(params, settings):
    """What each head of a cell gives to its own of the four positions of the cell, as the attention of the first block is."""
    model, _ = fresh(settings)
    batch, _ = picture(jax.random.key(2), 1)
    memory = model.apply({"params": params}, batch, method="remember").values[0]
    cross = jax.tree.map(lambda x: x[0], params["layers"]["cross"])
    hidden = jax.random.normal(jax.random.key(3), (GRID**2, settings.width))
    features = settings.block.head_features

    def heads(x, norm):
        x = x.reshape(len(x), -1, features)
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * norm["scale"]

    place = place_features(cell_places(jnp.arange(GRID**2), GRID))
    query = heads(hidden @ cross["query"]["kernel"] + place @ cross["place"]["kernel"], cross["query_norm"])
    key = heads(memory @ cross["key"]["kernel"], cross["key_norm"])
    key = jnp.repeat(key, query.shape[1] // key.shape[1], axis=1)
    weights = jax.nn.softmax(jnp.einsum("qhd,khd->hqk", query, key) / features**0.5, axis=-1)
    (row, column), (down, across) = jnp.divmod(jnp.arange(GRID**2), GRID), jnp.divmod(jnp.arange(4), 2)
    own = (2 * row + down[:, None]) * FINE + 2 * column + across[:, None]
    return float(jnp.mean(jnp.take_along_axis(weights, own[..., None], axis=2)))


@pytest.mark.parametrize("kv_heads", [0, 2])
def test_heads_of_a_cell_look_at_its_positions_one_each(kv_heads):
    settings = FusionSettings(**{**vars(SETTINGS), "width": 128, "kv_heads": kv_heads, "memory": MemorySettings(128, 4, 1000)})
    _, params = fresh(settings)
    assert own_share(params, settings) < 2 / FINE**2
    assert own_share(align_places(params, GRID), settings) > 0.4


def test_waves_of_a_place_further_on_are_a_map_of_its_own():
    here = place_features(jnp.array([0.3, 0.6, 0.1, 0.1]))[:WAVES]
    there = place_features(jnp.array([0.35, 0.52, 0.1, 0.1]))[:WAVES]
    np.testing.assert_allclose(here @ shift(0.05, -0.08), there, atol=1e-4)


def test_a_cell_is_cut_into_as_many_squares_as_there_are_heads_or_more():
    np.testing.assert_allclose(offsets(4, 8), np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) / 32)
    np.testing.assert_array_equal(offsets(1, 8), [[0, 0]])
    assert len(np.unique(offsets(6, 8), axis=0)) == 6
    assert np.abs(offsets(6, 8)).max() == pytest.approx(1 / 24)


def test_nothing_but_queries_and_keys_changes():
    _, params = fresh()
    aligned = align_places(params, GRID)
    assert jax.tree.structure(aligned) == jax.tree.structure(params)
    changed = jax.tree_util.tree_map_with_path(lambda path, a, b: (jax.tree_util.keystr(path), np.any(a != b)), params, aligned)
    found = {path for path, differs in jax.tree.leaves(changed, is_leaf=lambda x: isinstance(x, tuple)) if differs}
    names = "['key']['kernel']", "['place']['kernel']", "['query_norm']['scale']"
    assert found == {"['layers']['cross']" + name for name in names}


def test_a_model_without_memory_stays_as_it_is():
    params = {"layers": {"block_0": jnp.ones(2)}}
    assert align_places(params, GRID) is params


def learn(params, steps):
    """Share of cells that tell that digit, after so many steps."""
    model, optimizer = fresh()[0], optax.adam(3e-3)
    params = {"model": params, "answer": 0.1 * jax.random.normal(jax.random.key(5), (SETTINGS.width, VALUES))}

    def loss(params, key):
        batch, codes = picture(key, 8)
        hidden = model.apply(
            {"params": params["model"]}, batch, method=lambda model, batch: model(Tokens.of(batch), model.remember(batch))
        )
        logits = hidden @ params["answer"]
        right = jnp.mean(jnp.argmax(logits, -1) == codes)
        return optax.softmax_cross_entropy_with_integer_labels(logits, codes).mean(), right

    @jax.jit
    def step(params, state, key):
        (_, right), gradient = jax.value_and_grad(loss, has_aux=True)(params, key)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, right

    state = optimizer.init(params)
    for number in range(steps):
        params, state, right = step(params, state, jax.random.key(100 + number))
    return float(right)


@pytest.mark.slow
def test_what_lies_at_one_of_many_places_is_learnt_where_attention_starts_there_and_else_not():
    _, params = fresh()
    assert learn(align_places(params, GRID), 400) > 0.9
    assert learn(params, 400) < 0.5  # a control, not a wish
