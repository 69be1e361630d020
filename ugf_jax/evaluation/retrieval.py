"""Task `retrieval`: among all held-out images, is the one that a caption describes found by it, and the other way round?"""

import base64
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ugf_jax.data.index import Dataset
from ugf_jax.evaluation.batches import captioned, first_image, grouped, measure_batches
from ugf_jax.evaluation.metrics import Estimate, estimate
from ugf_jax.evaluation.model import BATCH, Embedder
from ugf_jax.evaluation.sample import Sample
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import Variants

VERSION = 1  # of the numbers: rises whenever the same model and data would give others
RANKS = (1, 5, 10)
_CHUNK = 1024  # queries compared with everything at a time


@dataclasses.dataclass(frozen=True)
class RetrievalSettings:
    """What is searched.

    Attributes:
      limit: number of images with captions, evenly spaced; None for all. The fewer, the easier.
      batch: images or captions embedded together.
    """

    limit: int | None = 1000
    batch: int = BATCH

    def identity(self) -> dict[str, Any]:
        """What the results depend on."""
        return dataclasses.asdict(self)


def measure(
    model: Embedder, dataset: Dataset, settings: RetrievalSettings, log: SampleLog, quiet: bool = False
) -> list[Sample]:
    """Embeds every image and its longest caption that `log` does not hold yet.

    Returns:
      for each record, whose number is its row, `key`, `caption`, and its embeddings `image` and `text`, see `unpack`; or why
      its image was `rejected`.
    """
    numbers = captioned(dataset, settings.limit)

    def compute(rows: tuple[int, ...]) -> list[Sample]:
        records = [dataset.record(row) for row in rows]
        images = [first_image(record) for record in records]
        readable = [i for i, image in enumerate(images) if isinstance(image, np.ndarray)]
        samples: list[Sample] = [{"key": r.key, "rejected": str(i)} for r, i in zip(records, images, strict=True)]
        if readable:
            captions = [max(records[i].captions, key=len) for i in readable]
            pictures = model.embed_image([image for image in images if isinstance(image, np.ndarray)])
            texts = model.embed_text(captions)
            for i, caption, picture, text in zip(readable, captions, pictures, texts, strict=True):
                samples[i] = {"key": records[i].key, "caption": caption, "image": pack(picture), "text": pack(text)}
        return samples

    return measure_batches("retrieval", grouped(numbers, lambda _: 0, settings.batch), compute, log, quiet)


def pack(vector: np.ndarray) -> str:
    """A vector as text: float32 little-endian, base 64."""
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def unpack(text: str) -> np.ndarray:
    """Inverse of `pack`, float32 `[features]`."""
    return np.frombuffer(base64.b64decode(text), "<f4")


def embeddings(samples: Sequence[Sample], name: str) -> np.ndarray:
    """The `image` or `text` embeddings of samples that were not rejected, float32 `[samples, features]`."""
    return np.stack([unpack(s[name]) for s in samples])


def ranks(queries: np.ndarray, targets: np.ndarray, same: np.ndarray) -> np.ndarray:
    """The rank, from 1, at which each query finds the first target that is right.

    A wrong target that is exactly as similar comes before it: embeddings that are all alike find nothing.

    Args:
      queries: float `[items, features]` of length 1.
      targets: likewise; the right ones of query i are those of its group.
      same: int `[items]`, the group of each item.

    Returns:
      int `[items]`.
    """
    found = []
    for start in range(0, len(queries), _CHUNK):
        own = slice(start, start + _CHUNK)
        similarity = queries[own] @ targets.T
        right = same[own, None] == same
        best = np.where(right, similarity, -np.inf).max(1, keepdims=True)
        found.append(1 + (~right & (similarity >= best)).sum(1))
    return np.concatenate(found)


def caption_groups(samples: Sequence[Sample]) -> np.ndarray:
    """Numbers `[samples]` that are equal where captions are: these cannot be told apart."""
    return np.unique([s["caption"] for s in samples], return_inverse=True)[1].reshape(-1)


def both_ranks(samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Ranks of `image_to_text` and `text_to_image` of the samples that were not rejected."""
    images, texts, same = embeddings(samples, "image"), embeddings(samples, "text"), caption_groups(samples)
    return {"image_to_text": ranks(images, texts, same), "text_to_image": ranks(texts, images, same)}


def summarize(samples: Sequence[Sample]) -> dict[str, Variants]:
    """Shares of queries whose target is among the first.

    Returns:
      `retrieval` with the variants `image_to_text` and `text_to_image`; metrics `recall@1`, `recall@5`, `recall@10` and
      `median_rank`; and `images`, with the share `rejected`.
    """
    used = [s for s in samples if "rejected" not in s]
    results: Variants = {"images": {"rejected": Estimate(1 - len(used) / max(len(samples), 1), None, len(samples))}}
    if used:
        for direction, found in both_ranks(used).items():
            results[direction] = {f"recall@{k}": estimate(found <= k) for k in RANKS}
            results[direction]["median_rank"] = Estimate(float(np.median(found)), None, len(found))
    return {"retrieval": results}
