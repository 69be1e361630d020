"""A discriminator that judges overlapping patches of an image (PatchGAN; Isola et al. 2017), trained from scratch."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class PatchDiscriminator(nn.Module):
    """Convolutions of 4×4 pixels with leaky ReLU; one logit per position.

    Normalised over groups of channels of one image, not over the batch: a logit does not depend on the other images.

    Attributes:
      width: channels of the first layer; doubled by each of the next three.
      depth: convolutions of stride 2; a logit sees 70 pixels with 3.
      dtype: of the computation; parameters are float32.
    """

    width: int = 64
    depth: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        """Logits float32 `[batch, rows, columns]`, positive for real, of `[batch, height, width, 3]` in [-1, 1]."""
        x = image
        for i in range(self.depth + 1):
            stride = 2 if i < self.depth else 1
            x = nn.Conv(self.width * 2 ** min(i, 3), (4, 4), strides=stride, padding=1, dtype=self.dtype, name=f"conv_{i}")(x)
            if i:
                x = nn.GroupNorm(num_groups=min(32, self.width), dtype=self.dtype, name=f"norm_{i}")(x)
            x = nn.leaky_relu(x, 0.2)
        x = nn.Conv(1, (4, 4), padding=1, dtype=self.dtype, name="logits")(x)
        return x[..., 0].astype(jnp.float32)
