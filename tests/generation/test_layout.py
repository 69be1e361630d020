"""Converted parameters hold what the trained ones hold, layer by layer."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from ugf_jax.generation.layout import decode_weights, head_norm, rms_norm
from ugf_jax.models.blocks import RMSNorm
from ugf_jax.models.fusion import FusionSettings, FusionTransformer
from ugf_jax.models.fusion_block import HeadNorm
from ugf_jax.models.memory import MemorySettings

SETTINGS = FusionSettings(
    width=16, depth=4, heads=2, kv_heads=1, cross_every=2, gate=0.5, grid=2, query_bias=True, embedding=0,
    memory=MemorySettings(width=8, groups=1, codes=3, heads=1),
)  # fmt: skip
BATCH = {name: np.ones((1, 1), np.int32) for name in ("tokens", "segments", "positions", "cells")} | {
    "aux_codes": np.ones((1, 1, 1), np.int32),
    "aux_places": np.ones((1, 1, 4), np.float32),
    **{name: np.ones((1, 1), np.int32) for name in ("aux_segments", "aux_releases", "aux_levels")},
}


@functools.cache
def params(settings):
    model = FusionTransformer(settings, 24)
    init = functools.partial(model.init, method="everything")
    shapes = jax.eval_shape(init, jax.random.key(0), BATCH)["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape, np.float32), shapes)


@pytest.fixture(scope="module")
def converted():
    return jax.jit(decode_weights, static_argnums=0)(SETTINGS, params(SETTINGS))


def test_layers_are_in_their_order(converted):
    trained = params(SETTINGS)["layers"]
    assert len(converted.groups) == 2
    for group, (blocks, cross) in enumerate(converted.groups):
        assert len(blocks) == 2
        for number, block in enumerate(blocks):
            own = jax.tree.map(lambda x, group=group: x[group], trained[f"block_{number}"])
            query, key, value = np.split(np.asarray(block.qkv), [16, 24], axis=1)
            for name, found in (("query", query), ("key", key), ("value", value)):
                np.testing.assert_array_equal(found, own["attention"][name]["kernel"])
            np.testing.assert_array_equal(block.qkv_bias[16:24], own["attention"]["key"]["bias"])
            gate, up = np.split(np.asarray(block.gate_up), 2, axis=1)
            np.testing.assert_array_equal(gate, own["mlp"]["gate"]["kernel"])
            np.testing.assert_array_equal(up, own["mlp"]["up"]["kernel"])
        output = np.tanh(trained["gate"][group]) * trained["cross"]["output"]["kernel"][group]
        np.testing.assert_allclose(cross.output, output, rtol=1e-5)
        nothing = np.repeat(trained["cross"]["null_value"][group], 2, axis=0).reshape(-1) @ output
        np.testing.assert_allclose(cross.nothing, nothing, rtol=1e-4, atol=1e-5)
        assert cross.place.shape == (5, 16)
        assert not cross.place[-1].any()
        assert np.asarray(cross.place[:4]).any(axis=1).all()


def test_matrices_have_the_dtype_of_the_computation_and_norms_are_float32():
    settings = dataclasses.replace(SETTINGS, dtype="bfloat16", tied=True)
    found = jax.eval_shape(functools.partial(decode_weights, settings), params(settings))
    dtypes = {str(path[-1]): str(x.dtype) for path, x in jax.tree_util.tree_leaves_with_path(found)}
    assert {name for name, dtype in dtypes.items() if dtype == "float32"} == {
        ".attention_norm", ".mlp_norm", ".norm", "[0]",  # the last: norms of heads
    }  # fmt: skip
    assert found.head.shape == (16, 24)


def test_norms_are_those_of_the_model():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 6)).astype(np.float32)
    for kind in ("none", "rms", "layer"):
        norm = HeadNorm(kind, 1e-5, np.float32)
        scales = jax.tree.map(lambda y: y + np.arange(6, dtype=np.float32), norm.init(jax.random.key(0), x))
        parts = tuple(scales.get("params", {}).get(n) for n in ("scale", "head_scale", "head_bias"))
        found = head_norm(x, tuple(p for p in parts if p is not None), 1e-5)
        np.testing.assert_allclose(found, norm.apply(scales, x), rtol=1e-5, atol=1e-5)
    scale = np.arange(6, dtype=np.float32)
    expected = RMSNorm().apply({"params": {"scale": scale}}, x)
    np.testing.assert_allclose(rms_norm(x, scale, 1e-5), expected, rtol=1e-5, atol=1e-6)
