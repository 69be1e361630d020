import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.discriminator import PatchDiscriminator

MODEL = PatchDiscriminator(width=4, depth=2)


def test_an_image_is_judged_by_itself_at_any_size():
    image = jax.random.normal(jax.random.key(0), (3, 32, 48, 3))
    params = MODEL.init(jax.random.key(1), image)
    logits = MODEL.apply(params, image)
    assert logits.shape == (3, 6, 10)
    np.testing.assert_allclose(MODEL.apply(params, image[1:2]), logits[1:2], atol=1e-5)
    assert set(params) == {"params"}  # no running statistics


def test_a_gradient_reaches_every_pixel():
    image = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
    params = MODEL.init(jax.random.key(1), image)
    gradient = jax.grad(lambda x: jnp.sum(jnp.square(MODEL.apply(params, x))))(image)
    assert (np.abs(gradient).max(-1) > 0).mean() > 0.99
