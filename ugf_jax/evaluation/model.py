"""What the tasks ask of a model that understands and generates; `ugf_jax.generation.unified_model.UnifiedModel` is one."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ugf_jax.data.records import Record

BATCH = 32  # items that a model is given at a time


class Drawer(Protocol):
    """Draws pictures."""

    def generate_image(self, prompts: Sequence[str], size: tuple[int, int], seed: int) -> list[np.ndarray]:
        """A picture uint8 `[*size, 3]` for each prompt; equal seeds give equal pictures."""


class Answerer(Protocol):
    """Answers questions."""

    def generate_text(self, images: Sequence[Sequence[np.ndarray]], questions: Sequence[str], max_tokens: int) -> list[str]:
        """An answer to each question about the uint8 `[height, width, 3]` images that come with it."""


class Embedder(Protocol):
    """Puts images and texts into one space."""

    def embed_image(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """float32 `[images, features]` of length 1, of uint8 `[height, width, 3]` each."""

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """float32 `[texts, features]` of length 1."""


class Likelihood(Protocol):
    """Predicts records."""

    def likelihood(self, records: Sequence[Record]) -> list[dict[str, tuple[float, int]]]:
        """For each captioned image, by modality: nats, and the number of tokens that they are spread over."""
