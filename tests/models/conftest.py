import jax
import numpy as np
import pytest


@pytest.fixture
def randomize():
    """Parameters drawn at random: blocks start as the identity, and tests want them to do something."""

    def draw(params, seed=0, scale=0.4):
        leaves, tree = jax.tree.flatten(params)
        rng = np.random.default_rng(seed)
        return tree.unflatten([scale * rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves])

    return draw
