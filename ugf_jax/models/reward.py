"""What an image is worth as an answer to a prompt: a scalar of the transformer.

Two readings are added up. A head reads the last token of a document of both, which has seen everything. And the contrastive
embeddings of the image and of the prompt, each in a document of its own, are compared: how well they agree is known before
the first preference (PickScore; Kirstain et al. 2023, section 4), and a few thousand noisy ones teach a head little more.
"""

import dataclasses
from collections.abc import Mapping
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens

SIMILARITY = 10.0  # log-odds that a cosine is worth before anything is learnt


def without_heads(settings: FusionSettings, dropout: float = 0.0) -> FusionSettings:
    """The same transformer without what only predicting and continuous tokens need, and with this dropout."""
    return dataclasses.replace(settings, tied=True, vision=None, dropout=dropout)


class RewardModel(nn.Module):
    """Rows of `judged_row` to scores.

    The head starts at zero, so that a fresh model prefers what its embeddings say, or nothing where it has none.

    Scores mean something in comparison only: `score(a) - score(b)` are the log-odds that a is preferred to b.

    Attributes:
      settings: from `without_heads`.
      vocabulary: ids there are.
      train: apply dropout (needs the random key `dropout`).
    """

    settings: FusionSettings
    vocabulary: int
    train: bool = False

    def setup(self) -> None:
        self.fusion = FusionTransformer(self.settings, self.vocabulary, self.train)
        self.score = self.param("score", nn.initializers.zeros, (self.settings.width,), jnp.float32)
        if self.settings.embedding:
            self.similarity = self.param("similarity", nn.initializers.constant(SIMILARITY), (), jnp.float32)

    def __call__(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """Scores float32 `[rows]` of a batch's arrays; see `ugf_jax.data.collate`."""
        memory = self.fusion.remember(batch) if self.settings.cross_every else None
        hidden = cast(jax.Array, self.fusion(Tokens.of(batch), memory))
        last = jnp.sum(batch["segments"] == 1, axis=1) - 1
        found = _at(hidden, last).astype(jnp.float32) @ self.score
        if self.settings.embedding:
            image, text = batch["pairs"][:, 0, 0], batch["pairs"][:, 0, 1]
            of_image, of_text, _ = self.fusion.embeddings(_at(hidden, image), _at(hidden, text))
            found += self.similarity * jnp.sum(of_image * of_text, axis=-1)
        return found


def _at(hidden: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take_along_axis(hidden, index[:, None, None], axis=1)[:, 0]
