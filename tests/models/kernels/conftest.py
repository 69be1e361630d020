import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.kernels.visibility import Visibility


@pytest.fixture
def packed():
    """Self-attention of one row with three documents and padding, each token at its place."""

    def make(tokens):
        rng = np.random.default_rng(0)
        starts = np.sort(rng.choice(np.arange(1, tokens), 3, replace=False))
        segments = np.searchsorted(starts, np.arange(tokens), side="right") + 1
        positions = np.arange(tokens) - np.array([0, *starts])[segments - 1]
        padding = segments == 4
        segments, positions = np.where(padding, 0, segments), np.where(padding, 0, positions)
        return Visibility.causal(*(jnp.asarray(x, jnp.int32)[None] for x in (segments, positions)))

    return make


@pytest.fixture
def shapes():
    """Shapes alone of query, key, value and visibility, for what is lowered and never run."""

    def make(queries, keys, heads, kv_heads, features, dtype=jnp.float32, batch=1):
        def integers(length):
            return jax.ShapeDtypeStruct((batch, length), jnp.int32)

        sizes = (queries, heads), (keys, kv_heads), (keys, kv_heads)
        arrays = [jax.ShapeDtypeStruct((batch, length, h, features), dtype) for length, h in sizes]
        return *arrays, Visibility(*[integers(queries)] * 2, *[integers(keys)] * 2)

    return make


@pytest.fixture
def gradients():
    """A function's gradients with respect to query, key and value, jitted."""

    def make(function):
        def loss(query, key, value, seen):
            return jnp.sum(jnp.sin(function(query, key, value, seen).astype(jnp.float32)))

        return jax.jit(jax.grad(loss, (0, 1, 2)))

    return make
