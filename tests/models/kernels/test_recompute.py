import functools

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.kernels.chunked import chunked
from ugf_jax.models.kernels.recompute import FLOOR, SAVED, finish


def test_rows_that_saw_nothing_finish_as_zero():
    output, log_sum = finish(jnp.array([0.0, 2.0]), jnp.array([FLOOR, 3.0]), jnp.array([[0.0, 0.0], [1.0, 4.0]]))
    np.testing.assert_array_equal(output, [[0, 0], [0.5, 2]])
    np.testing.assert_allclose(log_sum, [0, 3 + np.log(2)], rtol=1e-6)


def test_the_base_is_the_logarithms():
    _, log_sum = finish(jnp.array([8.0]), jnp.array([1.0]), jnp.ones((1, 2)), log=jnp.log2)
    np.testing.assert_allclose(log_sum, [4])


def test_rematerialised_layers_may_keep_what_the_backward_pass_needs(packed, capsys):
    x = jnp.ones((1, 8, 2, 4))

    def layer(x):
        return jnp.sum(chunked(jnp.sin(x), x, x, packed(8), True))

    for policy, expected in ((jax.checkpoint_policies.save_only_these_names(SAVED), 2), (None, 0)):
        jax.ad_checkpoint.print_saved_residuals(functools.partial(jax.checkpoint, policy=policy)(layer), x)
        assert capsys.readouterr().out.count(f"named '{SAVED}'") == expected
