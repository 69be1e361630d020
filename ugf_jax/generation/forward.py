"""Whole documents through the transformer at once: embeddings and likelihoods, without decoding anything."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.data.collate import collate_row
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.documents import CODE, TEXT, Document, image_to_embed, text_to_embed
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.objectives.language import token_losses

LENGTHS, MEMORIES, ROWS = 64, 256, 16  # sizes are rounded up to multiples of these, so that few shapes are compiled


@flax.struct.dataclass
class Scores:
    """Of each document, float32 `[documents]`: nats of all trained targets of a kind, and how many there are."""

    text_nats: jax.Array
    text_tokens: jax.Array
    image_nats: jax.Array
    image_tokens: jax.Array


class DocumentReader:
    """A trained transformer as functions of documents. Each rounded shape is one compilation.

    Attributes:
      settings: of the transformer.
      vocabulary: its ids.
      params: its parameters.
    """

    def __init__(self, settings: FusionSettings, vocabulary: VocabularySettings, params: Any):
        self.settings, self.vocabulary, self.params = settings, vocabulary, params
        model = FusionTransformer(settings, vocabulary.total)

        def call(params: Any, *arguments: Any, method: str) -> Any:
            return model.apply({"params": params}, *arguments, method=method)

        def hidden(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
            memory = call(params, batch, method="remember") if settings.cross_every else None
            return cast(jax.Array, call(params, Tokens.of(batch), memory, method="__call__"))

        @functools.partial(jax.jit, static_argnums=2)
        def embed(params: Any, batch: dict[str, jax.Array], which: str) -> jax.Array:
            at = jnp.take_along_axis(hidden(params, batch), batch["embed"][:, None, None], axis=1)[:, 0]
            image, text, _ = call(params, at, at, method="embeddings")
            return cast(jax.Array, image if which == "image" else text)

        @jax.jit
        def score(params: Any, batch: dict[str, jax.Array]) -> Scores:
            kernel = call(params, method="output_kernel")
            losses = token_losses(hidden(params, batch)[:, :-1], kernel, batch["tokens"][:, 1:], LENGTHS)
            kinds = batch["kinds"][:, 1:]
            found = []
            for kind in (TEXT, CODE):
                found += [jnp.sum(losses.nll * (kinds == kind), axis=1), jnp.sum(kinds == kind, axis=1, dtype=jnp.float32)]
            return Scores(*found)

        self._embed, self._score = embed, score

    def embed(self, documents: Sequence[Document], which: str) -> np.ndarray:
        """Contrastive embeddings at the EMB tokens, float32 `[documents, features]` of length 1.

        Args:
          documents: each with an EMB token.
          which: "image" or "text", whose projection to take.
        """
        found = self._each(documents, lambda batch: self._embed(self.params, batch, which))
        return np.stack(found) if found else np.zeros((0, self.settings.embedding), np.float32)

    def embed_codes(self, codes: Sequence[ImageCodes]) -> np.ndarray:
        """Contrastive embeddings of images, float32 `[images, features]` of length 1."""
        return self.embed([image_to_embed(own, self.vocabulary) for own in codes], "image")

    def embed_ids(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """Contrastive embeddings of texts, given as their ids, float32 `[texts, features]` of length 1."""
        return self.embed([text_to_embed(ids, self.vocabulary) for ids in texts], "text")

    def score(self, documents: Sequence[Document]) -> list[Scores]:
        """Log-likelihoods of what each document would be trained on."""
        return self._each(documents, lambda batch: self._score(self.params, batch))

    def _each(self, documents: Sequence[Document], function: Callable[[dict[str, Any]], Any]) -> list[Any]:
        return in_batches(documents, self.settings, self.vocabulary, function)


def in_batches(
    documents: Sequence[Document],
    settings: FusionSettings,
    vocabulary: VocabularySettings,
    function: Callable[[dict[str, Any]], Any],
) -> list[Any]:
    """The results for each document in order, a document a row; see `rows_in_batches`."""
    return rows_in_batches([[(document,)] for document in documents], settings, vocabulary, function)


def rows_in_batches(
    rows: Sequence[Sequence[tuple[Document, ...]]],
    settings: FusionSettings,
    vocabulary: VocabularySettings,
    function: Callable[[dict[str, Any]], Any],
) -> list[Any]:
    """The results for each row in order; rows of one rounded shape are run together.

    Args:
      rows: of any documents, as `collate_row` takes them.
      settings, vocabulary: of the transformer that reads them.
      function: arrays of a batch of `ROWS` rows, the last repeated, to arrays `[ROWS, …]`.
    """

    def rounded(i: int) -> tuple[int, int, int]:
        documents = list(itertools.chain.from_iterable(rows[i]))
        tokens = sum(map(len, documents))
        memory = sum(document.auxiliary for document in documents) if settings.cross_every else 0
        pairs = sum(len(item) == 2 for item in rows[i])
        return -(-tokens // LENGTHS) * LENGTHS, -(-max(memory, 1) // MEMORIES) * MEMORIES, pairs

    results: list[Any] = [None] * len(rows)
    for shape, group in itertools.groupby(sorted(range(len(rows)), key=lambda i: (rounded(i), i)), key=rounded):
        numbers = list(group)
        for start in range(0, len(numbers), ROWS):
            chunk = numbers[start : start + ROWS]
            batch = _batch([rows[i] for i in chunk], RowShape(*shape), settings.memory.groups, vocabulary.pad)
            found = jax.device_get(function(batch))
            for row, i in enumerate(chunk):
                results[i] = jax.tree.map(lambda x, row=row: x[row], found)
    return results


def _batch(
    rows: Sequence[Sequence[tuple[Document, ...]]], shape: RowShape, groups: int, padding_token: int
) -> dict[str, np.ndarray]:
    """The last row is repeated until the batch is full; `embed` is where the first document of each has its EMB."""
    filled = [*rows, *[rows[-1]] * (ROWS - len(rows))]
    arrays = [collate_row(row, shape, groups, padding_token) for row in filled]
    batch = {name: np.stack([row[name] for row in arrays]) for name in arrays[0]}
    return batch | {"embed": np.array([max(row[0][0].embed, 0) for row in filled], np.int32)}
