"""Batches of UniToken's documents, read ahead by threads; the same on any number of hosts and from any step.

A row holds one document, as in the original, or as many as fit into it (`UniTokenData.packed`).

A batch has the arrays of `ugf_jax.data.collate` and, for the vision tower,

    crops         uint8 [C, side, side, 3]    black where a row has fewer
    features      int32 [L]                   which of their features stands in the place of the token's embedding, else -1
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Generator, Sequence
from typing import Any, Protocol

import numpy as np

from ugf_jax import config
from ugf_jax.config import FRACTION, NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.data.ahead import Batch, batches_ahead
from ugf_jax.data.collate import collate_row, row_specs
from ugf_jax.data.document_plan import DocumentPlan, Planned, RowShape
from ugf_jax.data.documents import CODE, Document
from ugf_jax.data.draws import Draws
from ugf_jax.data.index import open_dataset
from ugf_jax.data.mixture import drawn, draws_per_epoch
from ugf_jax.data.permutation import key
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.cutting import cut, without_prompt
from ugf_jax.data.unitoken.packing import PackedRecipe, PackedShape, Sized, SizeSource, choose
from ugf_jax.data.unitoken.prepared import PreparedRecords
from ugf_jax.data.unitoken.records import TokenRecords
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError

DROPOUT = 7  # tells its keys from others made from one seed
VERSION = 1  # changes whenever the same settings would give other batches


class Documents(Sized, Protocol):
    """Numbered documents; `digest` tells their content."""

    digest: str

    def document(self, number: int, words: UniTokenVocabulary, vision: AnyResSettings | None) -> Document:
        """One of them."""


@dataclasses.dataclass(frozen=True)
class UniTokenData:
    """Which documents to load, in which order."""

    datasets: tuple[str, ...] = setting((), doc="files of pre-tokenised records (.jsonl), or folders made by `ugf prepare`")
    weights: tuple[float, ...] = setting((), POSITIVE, "share of each dataset; empty: every record once an epoch")
    image_root: str = setting("", doc="where the images of pre-tokenised records are; empty: beside each file")
    text_tokenizer: str = setting("", doc="tokenizer.json for texts of prepared datasets; empty: the shipped one")
    rows: int = setting(128, POSITIVE, "rows of a global batch")
    length: int = setting(4096, POSITIVE, "tokens of a row; longer documents are cut")
    packed: bool = setting(False, doc="as many documents a row as fit; else one, as in the original")
    auxiliary: int = setting(0, NOT_NEGATIVE, "positions of auxiliary memory of a row; 0: none, as in the original")
    groups: int = setting(1, POSITIVE, "auxiliary codes a position")
    images: int = setting(1, POSITIVE, "images of a row that the vision tower has room for")
    vision: AnyResSettings | None = setting(AnyResSettings(), doc="crops for the vision tower; None: it sees nothing")
    caption_dropout: float = setting(0.0, FRACTION, "share of documents that end in a drawn image, without what is before it")
    seed: int = setting(0, NOT_NEGATIVE)
    threads: int = setting(0, NOT_NEGATIVE, "threads that read and build; 0: one per core, at most 16")
    prefetch: int = setting(2, POSITIVE, "batches loaded ahead")

    @property
    def shape(self) -> RowShape:
        """What a row has room for."""
        return RowShape(self.length, self.auxiliary, 0)

    @property
    def crops(self) -> int:
        """Crops that a row has room for."""
        return self.images * self.vision.most_crops if self.vision else 0


def batch_specs(settings: UniTokenData) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Global shape and dtype of every array of a batch."""
    found = row_specs(settings.shape, settings.groups)
    if settings.vision:
        side = settings.vision.size
        found["features"] = (settings.length,), np.int32
        found["crops"] = (settings.crops, side, side, 3), np.uint8
    return {name: ((settings.rows, *shape), dtype) for name, (shape, dtype) in found.items()}


class UniTokenLoader:
    """Endless batches.

    Attributes:
      buckets: the one shape that batches have.
      plan: which documents stand in which row; None: one a row.
      batches_per_epoch: batches of every epoch.
      identity: what the batches depend on, JSON-compatible; equal exactly where the batches are.
    """

    def __init__(self, settings: UniTokenData, words: UniTokenVocabulary, process_index: int = 0, process_count: int = 1):
        """Opens the datasets.

        Raises:
          InputError: a dataset that cannot be opened, rows that the processes do not divide, or fewer documents than a batch.
        """
        if settings.rows % process_count:
            raise InputError(f"config.data.rows is {settings.rows}; want a multiple of the {process_count} processes")
        if settings.weights and len(settings.weights) != len(settings.datasets):
            raise InputError(f"config.data.weights has {len(settings.weights)} values for {len(settings.datasets)} datasets")
        self.settings, self.words = settings, words
        self.process_index, self.process_count = process_index, process_count
        self.datasets = _open(settings, words)
        self._counts = np.array([len(dataset) for dataset in self.datasets], np.int64)
        self._draws = draws_per_epoch(self._counts[:, None], settings.weights)[:, 0]
        self.plan = self._plan() if settings.packed else None
        self.batches_per_epoch = self.plan.batches_per_epoch if self.plan else int(self._draws.sum()) // settings.rows
        if not self.batches_per_epoch:
            raise InputError(f"config.data.rows is {settings.rows}; the datasets have {int(self._counts.sum())} documents only")
        self.buckets = (settings.shape,)
        known = {**config.to_json(settings), "unitoken": VERSION, "vocabulary": config.to_json(words)}
        free = ("threads", "prefetch", "datasets", "image_root", "text_tokenizer", *(() if settings.packed else ("packed",)))
        self.identity: dict[str, object] = {name: value for name, value in known.items() if name not in free}
        self.identity |= {f"datasets[{i}]": dataset.digest for i, dataset in enumerate(self.datasets)}
        self.fingerprint = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def specs(self, bucket: RowShape) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Global shape and dtype of every array of a batch."""
        return batch_specs(self.settings)

    def summary(self) -> str:
        """One line for the log."""
        total = int(self._counts.sum())
        line = f"{total} documents, {self.batches_per_epoch} batches an epoch, rows of {self.settings.shape}"
        if self.plan is None:
            return line
        found = self.plan.statistics()
        many = found["documents"] / found["rows"]
        return f"{line}, {many:.1f} documents a row, {found['fill']:.1%} of the tokens used, {found['remainder']:.1%} left over"

    def iterate(self, start_step: int = 0) -> Generator[Batch, None, None]:
        """Slices of this host of endless batches from `start_step` on.

        Raises:
          InputError: a record that cannot be made into a document.
        """
        return batches_ahead(self._load, start_step, self.settings.rows // self.process_count, self.settings)

    def _plan(self) -> DocumentPlan:
        s = self.settings
        shape = PackedShape(s.length, s.auxiliary, 0, s.crops)
        named = zip(self.datasets, s.datasets, strict=True)
        sources = [SizeSource(dataset, self.words, s.vision, shape, name) for dataset, name in named]
        return DocumentPlan(sources, s.weights, [shape] * len(sources), shape, s.rows, s.seed, choose)

    def _load(self, step: int, part: int, parts: int) -> Batch:
        size = self.settings.rows // self.process_count
        first = self.process_index * size
        epoch, documents = self._rows(step, first + size * part // parts, first + size * (part + 1) // parts)
        rows = [make_row(own, self.settings, self.words.pad) for own in documents]
        return Batch(self.settings.shape, {name: np.stack([row[name] for row in rows]) for name in rows[0]}, epoch)

    def _rows(self, step: int, start: int, stop: int) -> tuple[int, list[list[Document]]]:
        """The epoch of a step, and the documents of some rows of its batch."""
        if self.plan:
            epoch, planned = self.plan.batch(step, start, stop)
            return epoch, [[self._planned(item) for item in row] for row in planned]
        epoch, number = divmod(step, self.batches_per_epoch)
        positions = number * self.settings.rows + np.arange(start, stop)
        chosen = zip(*drawn(positions, self._draws, self._counts, self.settings.seed, epoch), strict=True)
        return epoch, [[self._alone(int(dataset), int(record), int(turn))] for dataset, record, turn in chosen]

    def _alone(self, dataset: int, record: int, turn: int) -> Document:
        """A document that has a row of its own."""
        s = self.settings
        document = self._document(dataset, record, int(key(s.seed, DROPOUT, dataset, turn, record)[0]))
        if document.crops is not None and len(document.crops) > s.crops:
            raise InputError(
                f"config.data.images is {s.images}; {s.datasets[dataset]}, record {record} has more images: want room for its "
                "crops"
            )
        return document if document.auxiliary <= s.auxiliary else dataclasses.replace(document, spans=())

    def _planned(self, item: Planned) -> Document:
        """A document that is no larger than it was planned to be."""
        recipe = item.recipe
        assert isinstance(recipe, PackedRecipe)
        document = self._document(item.dataset, item.record, recipe.key)
        if not recipe.auxiliary:
            document = dataclasses.replace(document, spans=())
        crops = 0 if document.crops is None else len(document.crops)
        if len(document) > recipe.tokens or document.auxiliary > recipe.auxiliary or crops > recipe.crops:
            raise InputError(
                f"{self.settings.datasets[item.dataset]}, record {item.record}: larger than it was when rows were planned; "
                "were its files changed?"
            )
        return document

    def _document(self, dataset: int, record: int, random: int) -> Document:
        """A record as it is trained on: now and then without its prompt, and cut to the length of a row."""
        s = self.settings
        document = self.datasets[dataset].document(record, self.words, s.vision)
        draws = Draws(random)
        last = document.spans[-1] if document.spans else None
        if s.caption_dropout and last and document.kinds[last.end] == CODE and draws.fraction() < s.caption_dropout:
            document = without_prompt(document, last)
        return cut(document, s.length)


def make_row(documents: Sequence[Document], settings: UniTokenData, padding_token: int) -> dict[str, np.ndarray]:
    """The arrays of a row. The crops of its documents follow each other, and features are numbered among those of all."""
    row = collate_row([(document,) for document in documents], settings.shape, settings.groups, padding_token)
    vision = settings.vision
    if vision is None:
        return row
    crops = np.zeros((settings.crops, vision.size, vision.size, 3), np.uint8)
    features = np.full(settings.length, -1, np.int32)
    start = seen = 0
    for document in documents:
        if document.crops is not None and document.features is not None:
            own = document.features
            features[start : start + len(own)] = np.where(own < 0, -1, own + seen * vision.grid**2)
            crops[seen : seen + len(document.crops)] = document.crops
            seen += len(document.crops)
        start += len(document)
    return row | {"crops": crops, "features": features}


def _open(settings: UniTokenData, words: UniTokenVocabulary) -> list[Documents]:
    if not settings.datasets:
        raise InputError("config.data.datasets is empty; want files of pre-tokenised records, or folders made by `ugf prepare`")
    found: list[Documents] = []
    for number, name in enumerate(settings.datasets):
        try:
            if pathlib.Path(name).suffix == ".jsonl":
                found.append(TokenRecords(name, settings.image_root))
            else:
                text = TextTokenizer.load(settings.text_tokenizer)
                words.check_text(text)
                found.append(PreparedRecords(open_dataset(name), text))
        except InputError as error:
            raise InputError(f"config.data.datasets[{number}]: {error}") from error
    return found
