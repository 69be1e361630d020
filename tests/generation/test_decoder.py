"""Decoding token by token with kept keys and values equals the whole sequence at once, for every setting of the model."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.generation import decoder, kept_memory
from ugf_jax.generation.kept_memory import keep_more
from ugf_jax.generation.layout import decode_weights
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.models.fusion_block import Memory
from ugf_jax.models.memory import MemorySettings
from ugf_jax.models.rope import RopeScaling

VOCABULARY, GRID, ROWS, LENGTH, READ, AUXILIARY = 40, 2, 2, 14, 5, 6
BASE = FusionSettings(
    width=32,
    depth=4,
    heads=4,
    kv_heads=2,
    cross_every=2,
    gate=0.7,
    grid=GRID,
    memory=MemorySettings(width=16, groups=2, codes=9, depth=0, heads=2),
    embedding=0,
)
CHANGES = {
    "base": {},
    "no memory": {
        "cross_every": 0,
        "qk_norm": "layer",
        "query_bias": True,
        "output_bias": True,
        "mlp_bias": True,
        "rope_scaling": RopeScaling(factor=3.0, original=12),
        "tied": True,
        "head_features": 6,
        "depth": 2,
        "cell_places": True,
        "prompt_mean": True,
    },
    "bfloat16": {"cross_every": 1, "qk_norm": "none", "dtype": "bfloat16", "depth": 1},
}


def document_batch():
    """Two documents: the second is shorter by two and both look at an image, from different positions on."""
    rng = np.random.default_rng(0)
    cells = np.full((ROWS, LENGTH), -1)
    cells[:, 3:7] = np.arange(4)
    arrays = {
        "tokens": rng.integers(0, VOCABULARY, (ROWS, LENGTH)),
        "segments": np.ones((ROWS, LENGTH)),
        "positions": np.tile(np.arange(LENGTH), (ROWS, 1)),
        "cells": cells,
        "aux_codes": rng.integers(0, 9, (ROWS, AUXILIARY, 2)),
        "aux_segments": np.array([[1] * 6, [1] * 4 + [0] * 2]),
        "aux_releases": np.array([[0] * 3 + [8] * 3, [7] * 4 + [2**30] * 2]),
        "aux_levels": np.zeros((ROWS, AUXILIARY)),
    }
    arrays = {name: jnp.asarray(x, jnp.int32) for name, x in arrays.items()}
    return arrays | {"aux_places": jnp.asarray(rng.uniform(0.1, 0.9, (ROWS, AUXILIARY, 4)), jnp.float32)}


PREFILL = jax.jit(decoder.prefill, static_argnums=0)
STEP = jax.jit(decoder.step, static_argnums=0, static_argnames="looking")
keep = jax.jit(kept_memory.keep, static_argnums=0)


@dataclasses.dataclass
class Case:
    settings: FusionSettings
    weights: object
    arrays: dict
    memory: Memory | None
    kept: object
    hidden: np.ndarray
    logits: np.ndarray

    def looking_at(self, memory):
        return dataclasses.replace(self, memory=memory, kept=keep(self.settings, self.weights, memory))

    def prefill(self, *arguments):
        return PREFILL(self.settings, self.weights, *arguments)

    def step(self, *arguments, **looking):
        return STEP(self.settings, self.weights, *arguments, **looking)


@functools.cache
def case(name):
    settings = dataclasses.replace(BASE, **CHANGES[name])
    model, arrays = FusionTransformer(settings, VOCABULARY), document_batch()

    shapes = jax.eval_shape(functools.partial(model.init, method="everything"), jax.random.key(0), arrays)
    variables = jax.tree_util.tree_map_with_path(random_parameter, shapes)

    @jax.jit
    def run(variables):
        memory = model.apply(variables, arrays, method="remember") if settings.cross_every else None
        hidden = model.apply(variables, Tokens.of(arrays), memory)
        logits = model.apply(variables, hidden, method="logits")
        return decode_weights(settings, variables["params"]), memory, hidden, logits

    weights, memory, hidden, logits = run(variables)
    kept = keep(settings, weights, memory) if settings.cross_every else None
    return Case(settings, weights, arrays, memory, kept, np.asarray(hidden, np.float32), np.asarray(logits))


def random_parameter(path, shape):
    """Far from what a fresh model has: its blocks are the identity and would hide most mistakes."""
    rng = np.random.default_rng(sum(map(ord, str(path))))
    noise = rng.standard_normal(shape.shape, np.float32)
    return 1 + 0.3 * noise if "scale" in str(path[-1]) else noise * (0.5 if len(shape.shape) < 2 else shape.shape[-2] ** -0.5)


def padded(arrays, start, end, padding=2):
    """Tokens of positions `start` to `end`, after some padding."""
    fill = {"tokens": 0, "segments": 0, "positions": 0, "cells": -1}
    before = ((0, 0), (padding, 0))
    return Tokens.of({n: np.pad(np.asarray(arrays[n])[:, start:end], before, constant_values=v) for n, v in fill.items()})


def with_room(cache, room):
    def longer(layers):
        return tuple(np.pad(np.asarray(x), ((0, 0), (0, room), (0, 0))) for x in layers)

    return dataclasses.replace(cache, keys=longer(cache.keys), values=longer(cache.values))


def decoded(case):
    """Hidden states of every position: the first few at once, the others one by one."""
    before = padded(case.arrays, 0, READ)
    hidden, cache = case.prefill(before, case.kept)
    slots = before.ids.shape[1]
    cache, seen = with_room(cache, LENGTH), np.pad(before.segments > 0, ((0, 0), (0, LENGTH)))
    found = [np.asarray(hidden, np.float32)[:, -READ:]]
    for position in range(READ, LENGTH):
        slot = slots + position - READ
        seen[:, slot] = True
        hidden, cache = case.step(cache, padded(case.arrays, position, position + 1, 0), slot, seen.copy(), case.kept)
        found.append(np.asarray(hidden, np.float32)[:, None])
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("name", CHANGES)
def test_decoding_step_by_step_equals_the_whole_sequence(name):
    one = case(name)
    tolerance = 0.1 if one.settings.dtype == "bfloat16" else 2e-4
    found = decoded(one)
    np.testing.assert_allclose(found, one.hidden, rtol=tolerance, atol=tolerance)
    logits = found @ np.asarray(one.weights.head, np.float32)
    np.testing.assert_allclose(logits, one.logits, rtol=tolerance, atol=4 * tolerance)
    assert np.abs(np.diff(one.hidden, axis=1)).max() > 0.5  # positions do differ


def test_the_memory_is_seen_from_its_release_on():
    one = case("base")
    other = one.looking_at(dataclasses.replace(one.memory, values=-one.memory.values))
    first, second = decoded(one), decoded(other)
    np.testing.assert_array_equal(first[1, :7], second[1, :7])
    assert (first[1, 7:] != second[1, 7:]).any(axis=-1).all()
    assert (first[0] != second[0]).any(axis=-1).all()


@pytest.fixture(scope="module")
def last():
    """Arguments of the step that feeds the last token: cache, tokens, slot, what is seen."""
    one = case("base")
    _, cache = one.prefill(padded(one.arrays, 0, READ), one.kept)
    seen = np.ones((ROWS, READ + 2 + LENGTH), bool)
    seen[:, :2] = seen[:, READ + 3 :] = False
    return with_room(cache, LENGTH), padded(one.arrays, LENGTH - 1, LENGTH, 0), READ + 2, seen


def test_rows_beyond_those_that_look_see_the_null_key_only(last):
    one = case("base")
    every, _ = one.step(*last, one.kept)
    none, _ = one.step(*last, None)
    unseen = one.looking_at(dataclasses.replace(one.memory, segments=np.zeros((ROWS, AUXILIARY), np.int32)))
    np.testing.assert_allclose(one.step(*last, unseen.kept)[0], none, rtol=1e-4, atol=1e-4)
    of_first = jax.tree.map(lambda x: x[:1], one.kept)
    some, _ = one.step(*last, of_first, looking=1)
    np.testing.assert_allclose(some[0], every[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(some[1], none[1], rtol=1e-4, atol=1e-4)
    assert np.abs(every - none).max(axis=-1).min() > 1e-2


def test_samples_may_share_a_memory_and_memory_may_be_added(last):
    """Four rows of two memories; the images that are seen late are added when each row has a memory of its own."""
    one = case("base")

    def repeat(tree):
        return jax.tree.map(lambda x: np.repeat(np.asarray(x), 2, axis=0), tree)

    cache, tokens, slot, seen = last
    by_row = jax.tree.map(lambda x: x.reshape(ROWS, -1, *x.shape[1:]), cache)
    four_caches = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), repeat(by_row))
    four = four_caches, repeat(tokens), slot, repeat(seen)
    alone, _ = one.step(*last, one.kept)
    shared, _ = one.step(*four, one.kept)
    np.testing.assert_allclose(shared, np.repeat(alone, 2, axis=0), rtol=1e-4, atol=1e-4)

    def part(images):
        return one.looking_at(dataclasses.replace(one.memory, segments=jnp.where(images, one.memory.segments, 0))).kept

    # Document 0 has 3 early positions, and document 1 has 4, which are what is seen first; the later ones are added after.
    early = one.memory.releases < 8
    grown = keep_more(part(early), repeat(part(~early)), jnp.array([3, 3, 4, 4]), 2 * AUXILIARY)
    assert grown.releases.shape == (2 * ROWS, 1 + 2 * AUXILIARY)
    added, _ = one.step(*four, grown)
    np.testing.assert_allclose(added, shared, rtol=1e-4, atol=1e-4)
    lost = keep_more(part(early), repeat(part(~early)), jnp.zeros(2 * ROWS, jnp.int32), 2 * AUXILIARY)
    assert np.abs(one.step(*four, lost)[0] - shared).max() > 1e-3  # overwritten
