"""Guidance moves logits along the line from the unconditional to the conditional."""

import numpy as np

from ugf_jax.generation.guidance import guide


def test_scales():
    rng = np.random.default_rng(0)
    conditional, unconditional = rng.standard_normal((2, 3, 5)).astype(np.float32)
    np.testing.assert_allclose(guide(conditional, unconditional, 1.0), conditional, rtol=1e-5)
    np.testing.assert_allclose(guide(conditional, unconditional, 0.0), unconditional, rtol=1e-5)
    expected = conditional + 2 * (conditional - unconditional)
    np.testing.assert_allclose(guide(conditional, unconditional, 3.0), expected, rtol=1e-5, atol=1e-5)
