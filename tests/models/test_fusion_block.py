"""Parts of a block: norms of heads against their formulas, and what the null key is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.fusion_block import CrossAttention, HeadNorm, Memory, memory_visibility
from ugf_jax.models.places import FEATURES

SHAPE = FusionSettings(width=16, heads=4, kv_heads=2).block


@pytest.mark.parametrize("kind", ["none", "rms", "layer"])
def test_norms_of_heads_are_those_of_numpy(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(1.0, 2.0, (2, 3, 4, 6)).astype(np.float32)
    norm = HeadNorm(kind, 1e-5, jnp.float32)
    params = norm.init(jax.random.key(0), x).get("params", {})
    params = {name: jnp.asarray(rng.normal(size=value.shape), jnp.float32) for name, value in params.items()}
    if kind == "none":
        expected = x
    elif kind == "rms":
        assert params["scale"].shape == (6,)
        expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * params["scale"]
    else:
        assert params["head_scale"].shape == (4, 6)
        centred = x - x.mean(-1, keepdims=True)
        expected = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * params["head_scale"] + params["head_bias"]
    np.testing.assert_allclose(norm.apply({"params": params}, x), expected, rtol=1e-4, atol=1e-5)


def test_without_visible_memory_every_query_reads_the_null_value():
    rng = np.random.default_rng(0)
    x, place = jnp.asarray(rng.normal(size=(1, 5, 16)), jnp.float32), jnp.zeros((1, 5, FEATURES))
    segments, positions = jnp.ones((1, 5), jnp.int32), jnp.arange(5)[None]
    cross = CrossAttention(SHAPE)

    def memory(values, release):
        return Memory(jnp.asarray(values, jnp.float32), jnp.ones((1, 3), jnp.int32), jnp.full((1, 3), release, jnp.int32))

    def run(variables, memory):
        return np.asarray(cross.apply(variables, x, place, memory, memory_visibility(segments, positions, memory)))

    first = memory(rng.normal(size=(1, 3, 8)), 2)
    variables = cross.init(jax.random.key(0), x, place, first, memory_visibility(segments, positions, first))
    drawn = {"null_value": jnp.asarray(rng.normal(size=(2, 4)), jnp.float32)}
    drawn["output"] = {"kernel": jnp.asarray(rng.normal(size=(16, 16)), jnp.float32)}  # a fresh one adds nothing
    params = variables["params"] | drawn
    variables = {"params": params}
    found = run(variables, first)[0]
    null = np.repeat(np.asarray(params["null_value"]), 2, axis=0).reshape(-1) @ np.asarray(params["output"]["kernel"])
    np.testing.assert_allclose(found[:2], np.broadcast_to(null, (2, 16)), rtol=1e-5, atol=1e-6)
    assert np.abs(found[2:] - null).max(axis=-1).min() > 1e-3
