"""A fresh model looks at the details of the place where it is, and so learns what is there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax.models.aligned_places import align_places
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.models.memory import MemorySettings
from ugf_jax.models.places import cell_places, place_features

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
    """What the queries of cells give to the positions of their own cell, by the attention of the first block as it is."""
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
    where, own = batch["aux_places"][0, :, :2] * GRID, jnp.stack(jnp.divmod(jnp.arange(GRID**2), GRID), 1)
    return float(jnp.mean(jnp.sum(weights * jnp.all(jnp.floor(where)[None] == own[:, None], -1), -1)))


@pytest.mark.parametrize("kv_heads", [0, 2])
def test_cells_look_at_their_own_place(kv_heads):
    settings = SETTINGS if not kv_heads else FusionSettings(**{**vars(SETTINGS), "kv_heads": kv_heads})
    _, params = fresh(settings)
    even = (FINE // GRID) ** 2 / FINE**2
    assert own_share(params, settings) < 1.6 * even
    assert own_share(align_places(params), settings) > 4 * even


def test_nothing_but_queries_changes():
    _, params = fresh()
    aligned = align_places(params)
    assert jax.tree.structure(aligned) == jax.tree.structure(params)
    changed = jax.tree_util.tree_map_with_path(lambda path, a, b: (jax.tree_util.keystr(path), np.any(a != b)), params, aligned)
    found = {path for path, differs in jax.tree.leaves(changed, is_leaf=lambda x: isinstance(x, tuple)) if differs}
    assert found == {"['layers']['cross']['place']['kernel']", "['layers']['cross']['query_norm']['scale']"}


def test_a_model_without_memory_stays_as_it_is():
    params = {"layers": {"block_0": jnp.ones(2)}}
    assert align_places(params) is params


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
    assert learn(align_places(params), 400) > 0.9
    assert learn(params, 400) < 0.5  # a control, not a wish
