import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.kernels.chunked import block_size, chunked
from ugf_jax.models.kernels.reference import reference
from ugf_jax.models.kernels.visibility import Visibility

QUERIES = 256


@pytest.fixture
def temporary_bytes(shapes, gradients):
    """What the compiled gradient needs beside its arguments and results."""

    def measure(function, queries, keys, ordered):
        compiled = gradients(lambda *a: function(*a, ordered)).lower(*shapes(queries, keys, 8, 8, 16)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    return measure


def test_memory_of_cross_attention_is_linear_in_keys_and_far_below_the_reference(temporary_bytes):
    some, many = (temporary_bytes(lambda *a: chunked(*a, block=128), QUERIES, n, False) for n in (4096, 8192))
    assert many < 2.1 * some
    arrays = 2 * 8192 * 8 * 16 * 4
    assert many < 4 * arrays
    assert temporary_bytes(reference, QUERIES, 8192, False) > 5 * many


def test_memory_of_self_attention_is_linear_in_tokens(temporary_bytes):
    some, many = (temporary_bytes(lambda *a: chunked(*a, block=128), n, n, True) for n in (2048, 4096))
    assert many < 2.3 * some


@pytest.mark.parametrize("block", [16, 128, 512])
def test_blocks_cover_a_length_with_little_padding(block):
    for length in (1, 15, 16, 17, 129, 512, 513, 700, 1025, 8193):
        size = block_size(length, block)
        assert 0 < size <= block
        count = -(-length // size)
        assert count == -(-length // block)
        assert size == -(-length // count) or (size % 128 == 0 and size - length / count < 128)


def test_skipped_blocks_are_not_read():
    """Values that a causal query must not see may be anything, even not numbers, where whole blocks of them are skipped."""
    tokens = 64
    query, key, value = jax.random.normal(jax.random.key(0), (3, 1, tokens, 2, 8))
    value = value.at[:, 32:].set(np.nan)
    seen = Visibility.causal(jnp.ones((1, tokens), jnp.int32), jnp.arange(tokens)[None])
    output = jax.jit(lambda *a: chunked(*a, True, block=16))(query, key, value, seen)
    assert np.isfinite(output[:, :32]).all()
    assert np.isnan(output[:, 32:]).all()
