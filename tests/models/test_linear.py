import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.linear import Linear


def test_equals_dense_with_the_same_parameters():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    ours, theirs = Linear(7, use_bias=True), nn.Dense(7)
    params = ours.init(jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, theirs.init(jax.random.key(1), x))
    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), rtol=1e-5)


def test_parameters_stay_float32_when_it_computes_in_bfloat16():
    x = jnp.ones((2, 4))
    params = Linear(3, dtype=jnp.bfloat16).init(jax.random.key(0), x)
    assert params["params"]["kernel"].dtype == jnp.float32
    assert Linear(3, dtype=jnp.bfloat16).apply(params, x).dtype == jnp.bfloat16
