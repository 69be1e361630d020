"""Auxiliary memory: what a position's memory depends on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.memory import CodeEmbedding, MemoryEncoder, MemorySettings, image_numbers, neighbours

SETTINGS = MemorySettings(width=16, groups=2, codes=12, depth=2, heads=2, chunk=3)
POSITIONS = 14


def arrays(images, seed=0):
    """Arguments of the encoder for one row; `images` lists (segment, release, positions)."""
    rng = np.random.default_rng(seed)
    segments, releases = (np.concatenate([np.full(n[2], n[i]) for n in images])[None] for i in (0, 1))
    count = segments.shape[1]
    return [
        jnp.asarray(rng.integers(0, 12, (1, count, 2))),
        jnp.asarray(rng.uniform(0.1, 0.9, (1, count, 4)), jnp.float32),
        jnp.zeros((1, count), jnp.int32),
        jnp.asarray(segments, jnp.int32),
        jnp.asarray(releases, jnp.int32),
    ]


@pytest.fixture(scope="module")
def encode():
    model = MemoryEncoder(SETTINGS)
    variables = model.init(jax.random.key(0), *arrays([(1, 0, POSITIONS)]))
    keys = iter(jax.random.split(jax.random.key(1), 50))
    variables = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(next(keys), x.shape), variables)
    return jax.jit(lambda *arguments: model.apply(variables, *arguments))


def test_images_do_not_see_each_other(encode):
    first, second = arrays([(1, 0, 7), (1, 30, 7)]), arrays([(1, 0, 7), (1, 30, 7)], seed=5)
    mixed = [jnp.concatenate([a[:, :7], b[:, 7:]], axis=1) for a, b in zip(first, second, strict=True)]
    one, other = np.asarray(encode(*first))[0], np.asarray(encode(*mixed))[0]
    np.testing.assert_array_equal(one[:7], other[:7])
    assert (one[7:] != other[7:]).any(axis=-1).all()


def test_a_place_in_the_row_changes_nothing(encode):
    alone = arrays([(1, 0, 5)])
    before = arrays([(1, 0, 4)], seed=3)
    behind = arrays([(3, 0, 5)], seed=4)
    moved = [alone[i] if i != 3 else alone[i] + 1 for i in range(5)]
    together = [jnp.concatenate(parts, axis=1) for parts in zip(before, moved, behind, strict=True)]
    np.testing.assert_allclose(encode(*together)[0, 4:9], encode(*alone)[0], rtol=1e-5, atol=1e-5)


def test_neighbours_reach_as_far_as_said_and_no_further():
    images = jnp.zeros((4, 3), jnp.int32)  # one image of twelve positions
    seen = np.asarray(neighbours(images, 3))[:, 0]
    everyone = np.zeros((12, 18), bool)
    for number in range(12):
        chunk, place = divmod(number, 3)
        everyone[number, 3 * chunk : 3 * chunk + 9] = seen[chunk, place]
    expected = np.abs(np.arange(18)[None] - 3 - np.arange(12)[:, None]) <= 3
    expected[:, :3] = expected[:, 15:] = False  # nothing lies before the first chunk or behind the last
    np.testing.assert_array_equal(everyone, expected)


def test_numbers_change_where_an_image_does():
    segments = jnp.array([[1, 1, 1, 2, 2, 0]])
    releases = jnp.array([[4, 4, 9, 9, 9, 7]])
    assert image_numbers(segments, releases).tolist() == [[0, 0, 1, 2, 2, 3]]


def test_values_of_codes_and_a_table_both_tell_all_codes_apart():
    codes = jnp.stack(jnp.meshgrid(jnp.arange(12), jnp.arange(12)), axis=-1)
    for levels in ((), (3, 4)):
        model = CodeEmbedding(dataclasses.replace(SETTINGS, fsq_levels=levels))
        found = np.asarray(model.apply(model.init(jax.random.key(0), codes), codes)).reshape(144, -1)
        assert len(np.unique(found.round(4), axis=0)) == 144
