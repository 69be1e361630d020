import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.kernels.reference import reference
from ugf_jax.models.kernels.splash import splash

TOKENS = 200


@functools.partial(jax.jit, static_argnums=0)
def run(function, query, key, value, seen):
    output, pull = jax.vjp(lambda *a: function(*a, seen), query, key, value)
    return output, *pull(jnp.cos(jnp.arange(output.size, dtype=output.dtype).reshape(output.shape)))


def test_packed_rows_equal_the_reference_and_documents_are_strangers(packed):
    """Two blocks of 128 tokens, the second padded; then document 2 changes and no other by a single bit."""
    key, value = jax.random.normal(jax.random.key(0), (2, 1, TOKENS, 2, 16))
    query = jax.random.normal(jax.random.key(1), (1, TOKENS, 4, 16))
    seen = packed(TOKENS)
    ours = functools.partial(splash, ordered=True, block=128, interpret=True)
    before = run(ours, query, key, value, seen)
    for mine, theirs in zip(before, run(functools.partial(reference, ordered=True), query, key, value, seen), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    second = np.asarray(seen.query_segments[0] == 2)
    moved = np.where(second, np.flatnonzero(second)[0] + np.flatnonzero(second)[-1] - np.arange(TOKENS), np.arange(TOKENS))
    after = run(ours, query, key[:, moved], value[:, moved], seen)
    for x, y in zip(before, after, strict=True):
        np.testing.assert_array_equal(x[:, ~second], y[:, ~second])
        assert not np.array_equal(x[:, second], y[:, second])


def test_forward_and_backward_lower_for_tpu_without_one(shapes, gradients):
    function = gradients(functools.partial(splash, ordered=True))
    text = function.trace(*shapes(1024, 1024, 4, 2, 64, jnp.bfloat16)).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") >= 3


def test_other_than_self_attention_is_refused(packed):
    x = jnp.zeros((1, 8, 1, 16))
    with pytest.raises(ValueError, match="want 'chunked'"):
        splash(x, x, x, packed(8), False)
