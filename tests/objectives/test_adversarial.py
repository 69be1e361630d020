import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.objectives import adversarial


def test_hinge_is_flat_beyond_the_margin_and_one_at_zero():
    zeros = jnp.zeros((2, 4, 4, 1))
    assert float(adversarial.discriminator_loss(zeros, zeros)) == 1.0
    assert float(adversarial.discriminator_loss(zeros + 1.5, zeros - 2)) == 0.0
    slope = jax.grad(adversarial.discriminator_loss, argnums=(0, 1))(jnp.array([0.5, 1.5]), jnp.array([-0.5, -1.5]))
    np.testing.assert_allclose(slope[0], [-0.25, 0])
    np.testing.assert_allclose(slope[1], [0.25, 0])


def test_generator_wants_higher_scores_and_the_discriminator_lower_ones():
    fake = jnp.array([[0.2, -0.3]])
    assert (jax.grad(adversarial.generator_loss)(fake) < 0).all()
    assert (jax.grad(lambda f: adversarial.discriminator_loss(jnp.zeros(2), f))(fake) > 0).all()


def test_late_start_is_zero_then_rises_to_one():
    factors = [float(adversarial.late_start(s, 10, 4)) for s in range(20)]
    assert factors[:10] == [0.0] * 10
    np.testing.assert_allclose(factors[10:15], [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-6)
    assert factors[15:] == [1.0] * 5
    assert [float(adversarial.late_start(s, 3)) for s in (2, 3, 4)] == [0.0, 1.0, 1.0]
    assert float(jax.jit(lambda s: adversarial.late_start(s, 10, 4))(jnp.asarray(12))) == factors[12]
