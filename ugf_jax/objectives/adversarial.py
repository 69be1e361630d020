"""Adversarial losses for a discriminator of image patches (PatchGAN, Isola et al. 2017, section 3.2.2).

The losses are the hinge form (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17). Logits may have any shape: the score
of every patch of every image.
"""

import jax
import jax.numpy as jnp


def discriminator_loss(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Half of `E[max(0, 1 - real)] + E[max(0, 1 + fake)]`, a float32 scalar; 1 for a discriminator that says 0 everywhere.

    The images behind `fake` must be cut off from the generator with `stop_gradient`.
    """
    real, fake = real.astype(jnp.float32), fake.astype(jnp.float32)
    return 0.5 * (jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake)))


def generator_loss(fake: jax.Array) -> jax.Array:
    """`-E[fake]`, a float32 scalar."""
    return -jnp.mean(fake.astype(jnp.float32))


def late_start(step: jax.Array | int, start: int, ramp: int = 0) -> jax.Array:
    """Factor on the adversarial weight at `step`: 0 before `start`, then linear to 1 over `ramp` steps; a float32 scalar.

    A discriminator that starts with the tokenizer wins at once: early reconstructions are trivially told apart, and its
    gradient drowns the reconstruction losses (Esser et al. 2021, section 3.1, delay it for the same reason).
    """
    since = jnp.asarray(step, jnp.float32) - start
    rising = jnp.clip((since + 1) / (ramp + 1), 0.0, 1.0)
    return jnp.where(since < 0, 0.0, rising)
