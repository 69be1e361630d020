"""What an image is worth as an answer to a prompt: a scalar of the transformer.

Four readings of the documents of `ugf_jax.data.judged` are added up. Three are known before the first preference, and a few
thousand noisy preferences teach a head little more:

    similarity    of the contrastive embeddings of image and prompt (PickScore; Kirstain et al. 2023, section 4)
    description   log-likelihood of the prompt as a description of the image (Lin et al. 2024, "Revisiting the role of language
                  priors in vision-language models", section 3)
    drawing       log-likelihood of the master codes for the prompt, less that for no prompt: what a generator thinks that the
                  image has to do with the prompt (Li et al. 2023, "Your diffusion model is secretly a zero-shot classifier")
    score         of a head on the last token of the description, which has seen everything
"""

import dataclasses
from collections.abc import Mapping
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from ugf_jax.data.documents import NOTHING
from ugf_jax.data.judged import DESCRIBED, DRAWN, EMBEDDED, READ, UNPROMPTED, RowKind
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.objectives.language import token_losses

# Log-odds that a cosine and a nat are worth before anything is learnt: what fits the pictures of a small model.
SIMILARITY, DESCRIPTION, DRAWING = 3.0, 0.3, 0.15
CHUNK = 64  # positions whose logits exist at one time


def without_vision(settings: FusionSettings, dropout: float = 0.0) -> FusionSettings:
    """The same transformer without what only continuous tokens need, and with this dropout."""
    return dataclasses.replace(settings, vision=None, dropout=dropout)


class RewardModel(nn.Module):
    """Rows of `judged_row` to scores.

    The head starts at zero, so that a fresh model prefers what the transformer knows already.

    Scores mean something in comparison only: `score(a) - score(b)` are the log-odds that a is preferred to b.

    Attributes:
      settings: from `without_vision`.
      vocabulary: ids there are.
      train: apply dropout (needs the random key `dropout`).
    """

    settings: FusionSettings
    vocabulary: int
    train: bool = False

    def setup(self) -> None:
        self.fusion = FusionTransformer(self.settings, self.vocabulary, self.train)
        self.score = self.param("score", nn.initializers.zeros, (self.settings.width,), jnp.float32)
        self.description = self.param("description", nn.initializers.constant(DESCRIPTION), (), jnp.float32)
        self.drawing = self.param("drawing", nn.initializers.constant(DRAWING), (), jnp.float32)
        if self.settings.embedding:
            self.similarity = self.param("similarity", nn.initializers.constant(SIMILARITY), (), jnp.float32)

    def __call__(self, batch: Mapping[str, jax.Array]) -> jax.Array:
        """Scores float32 `[rows]` of a batch's arrays; see `ugf_jax.data.collate`."""
        memory = self.fusion.remember(batch) if self.settings.cross_every else None
        hidden = cast(jax.Array, self.fusion(Tokens.of(batch), memory))
        last = jnp.sum(batch["segments"] == DESCRIBED, axis=1) - 1
        found = _at(hidden, last).astype(jnp.float32) @ self.score
        described, drawn, unprompted = self._likelihoods(hidden, batch)
        found += self.description * described + self.drawing * (drawn - unprompted)
        if self.settings.embedding:
            image, text = batch["pairs"][:, 0, 0], batch["pairs"][:, 0, 1]
            of_image, of_text, _ = self.fusion.embeddings(_at(hidden, image), _at(hidden, text))
            found += self.similarity * jnp.sum(of_image * of_text, axis=-1)
        return found

    def _likelihoods(self, hidden: jax.Array, batch: Mapping[str, jax.Array]) -> list[jax.Array]:
        """Log-likelihoods of the marked targets of documents 1 to 3, float32 `[rows]` each."""
        cells, length = self.settings.grid**2, hidden.shape[1]
        most = min(2 * cells + row_kind(self.settings).room(length, cells) + 1, length - 1)
        # Logits of the others, more than half of the row, are not computed.
        places = jnp.argsort(batch["kinds"][:, 1:] == NOTHING, axis=1, stable=True)[:, :most]
        targets, segments, kinds = (
            jnp.take_along_axis(batch[name], places + 1, axis=1) for name in ("tokens", "segments", "kinds")
        )
        before = jnp.take_along_axis(hidden, places[..., None], axis=1)
        nats = token_losses(before, self.fusion.output_kernel(), targets, CHUNK).nll
        marked = jnp.where(kinds != NOTHING, segments, 0)
        return [-jnp.sum(nats * (marked == document), axis=1) for document in (DESCRIBED, DRAWN, UNPROMPTED)]


def row_kind(settings: FusionSettings) -> RowKind:
    """The rows that such a model reads."""
    return EMBEDDED if settings.embedding else READ


def _at(hidden: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take_along_axis(hidden, index[:, None, None], axis=1)[:, 0]
