import jax.numpy as jnp
import numpy as np

from ugf_jax.models.kernels.visibility import EVERY, Visibility, may_see


def test_the_rule():
    segments = jnp.array([1, 2, EVERY, 1, EVERY])
    releases = jnp.array([3, 0, 0, 4, 4])
    np.testing.assert_array_equal(may_see(1, 3, segments, releases), [True, False, True, False, False])
    np.testing.assert_array_equal(may_see(2, 4, segments, releases), [False, True, True, False, True])


def test_causal_sees_the_own_document_up_to_itself(packed):
    seen = packed(20)
    dense = np.asarray(seen.sees(ordered=True)[0])
    segments = np.asarray(seen.query_segments[0])
    np.testing.assert_array_equal(dense, np.tri(20, dtype=bool) & (segments[:, None] == segments))


def test_padding_adds_queries_that_see_nothing_and_keys_that_nobody_sees():
    seen = Visibility(*(jnp.zeros((2, n), jnp.int32) for n in (5, 5, 7, 7)))
    dense = np.asarray(seen.pad(3, 2).sees())
    assert dense[:, :5, :7].all()
    assert not dense[:, 5:].any()
    assert not dense[..., 7:].any()
