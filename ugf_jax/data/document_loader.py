"""Batches of packed documents, read ahead by threads; the same on any number of hosts and from any step.

Which documents stand in which row is planned from lengths (`document_plan`); only then are the records of the rows read, made
into the documents that were planned for them, and put into arrays (`collate`).
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from ugf_jax import config
from ugf_jax.config import NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.data.ahead import Batch, batches_ahead
from ugf_jax.data.code_kind import CodeKind, code_kind, common_kind
from ugf_jax.data.collate import collate_row, row_specs
from ugf_jax.data.document_plan import DocumentPlan, Row, RowShape
from ugf_jax.data.index import open_datasets
from ugf_jax.data.recipes import RecipeSettings, build
from ugf_jax.data.task_parts import TASKS, positive_weights
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

PLAN_VERSION = 1  # changes whenever the same settings would give other batches
NO_CODES = CodeKind(master=1, grid=1, auxiliary=1, groups=1, levels=1, largest=1)


@dataclasses.dataclass(frozen=True)
class DocumentSettings:
    """Which documents to load, how they are packed, in which order."""

    datasets: tuple[str, ...] = setting((), doc="folders made by `ugf prepare`")
    weights: tuple[float, ...] = setting((), POSITIVE, "share of each dataset; empty: every record once an epoch")
    serves: tuple[str, ...] = setting(
        (), doc="tasks of each dataset, as `generate` or `caption+question`; empty: all of `recipes`"
    )
    text_tokenizer: str = setting("", doc="tokenizer.json for texts; empty: the shipped one")
    rows: int = setting(16, POSITIVE, "rows of a global batch")
    length: int = setting(1024, POSITIVE, "tokens of a row")
    auxiliary: int = setting(4096, NOT_NEGATIVE, "positions of auxiliary memory of a row")
    pairs: int = setting(4, NOT_NEGATIVE, "contrastive pairs of a row")
    recipes: RecipeSettings = setting(RecipeSettings())
    seed: int = setting(0, NOT_NEGATIVE)
    threads: int = setting(0, NOT_NEGATIVE, "threads that read and build; 0: one per core, at most 16")
    prefetch: int = setting(2, POSITIVE, "batches loaded ahead")

    @property
    def shape(self) -> RowShape:
        """What a row has room for."""
        return RowShape(self.length, self.auxiliary, self.pairs)

    @property
    def row_recipes(self) -> RecipeSettings:
        """The recipes of documents that are never larger than a row."""
        own = self.recipes
        return dataclasses.replace(own, length=min(own.length, self.length), auxiliary=min(own.auxiliary, self.auxiliary))

    @property
    def dataset_recipes(self) -> list[RecipeSettings]:
        """`row_recipes` for each dataset, with the tasks that it serves."""
        own = self.row_recipes
        if not self.serves:
            return [own] * len(self.datasets)
        return [dataclasses.replace(own, tasks=own.tasks.only(served.split("+"))) for served in self.serves]

    def validate(self, path: str) -> None:
        """Refuses settings that do not go together."""
        for name in ("weights", "serves"):
            found = len(getattr(self, name))
            if found and found != len(self.datasets):
                raise InputError(f"{path}.{name} has {found} values; want one for each of {len(self.datasets)} datasets")
        for served in self.serves:
            chosen = served.split("+")
            unknown = [name for name in chosen if name not in TASKS]
            if unknown:
                raise InputError(f"{path}.serves: no task '{unknown[0]}'; there are {', '.join(TASKS)}")
            if not positive_weights(self.recipes.tasks.only(chosen)):
                raise InputError(f"{path}.serves: '{served}' has no weight in {path}.recipes.tasks; want one greater than 0")
        if self.recipes.tasks.contrastive and not self.pairs:
            raise InputError(f"{path}.pairs is 0; the contrastive task wants at least 1, or {path}.recipes.tasks.contrastive 0")


class DocumentLoader:
    """Endless batches of packed documents.

    Attributes:
      datasets: the opened datasets.
      kind: the kind of image codes that the datasets share; None where they hold no codes.
      auxiliary_groups, auxiliary_codebook, auxiliary_levels: codes a position, codes there are, levels (1 without codes).
      master_grid: master codes along one side (1 without codes).
      plan: which documents stand in which row.
      buckets: the one shape that batches have.
      batches_per_epoch: batches of every epoch.
      identity: what the batches depend on, JSON-compatible; equal exactly where the batches are.
      fingerprint: SHA-256 of the identity.
    """

    def __init__(
        self, settings: DocumentSettings, vocabulary: VocabularySettings, process_index: int = 0, process_count: int = 1
    ):
        """Opens the datasets and makes the plan.

        Raises:
          InputError: a folder that is not a prepared dataset or has no lengths by this text tokenizer, codes or texts that
            the vocabulary has no ids for, rows that the processes do not divide, or too few documents for a batch.
        """
        settings.validate("config.data")
        if settings.rows % process_count:
            raise InputError(f"config.data.rows is {settings.rows}; want a multiple of the {process_count} processes")
        self.settings, self.vocabulary = settings, vocabulary
        self.process_index, self.process_count = process_index, process_count
        self.datasets = open_datasets(settings.datasets, "config.data.datasets")
        self.text = TextTokenizer.load(settings.text_tokenizer)
        vocabulary.check_text(self.text)
        self._check_texts()
        self.kind = common_kind(self.datasets, "config.data.datasets")
        self._check_codes()
        known = self.kind or NO_CODES
        self.auxiliary_groups, self.auxiliary_codebook = known.groups, known.auxiliary
        self.auxiliary_levels, self.master_grid = known.levels, known.grid
        tables = [dataset.length_table for dataset in self.datasets]
        recipes = settings.dataset_recipes
        self.plan = DocumentPlan(tables, settings.weights, recipes, settings.shape, settings.rows, settings.seed)
        self.buckets = (settings.shape,)
        self.batches_per_epoch = self.plan.batches_per_epoch
        self.identity = self._identity()
        self.fingerprint = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def specs(self, bucket: RowShape) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Global shape and dtype of every array of a batch (`collate` says what they mean)."""
        of_row = row_specs(bucket, self.auxiliary_groups)
        return {name: ((self.settings.rows, *shape), dtype) for name, (shape, dtype) in of_row.items()}

    def summary(self) -> str:
        """One line for the log: records, batches, how full rows are, and what is left over or left out."""
        found = self.plan.statistics()
        parts = [f"{int(self.plan.counts.sum())} records", f"{self.batches_per_epoch} batches an epoch"]
        parts.append(f"rows of {self.settings.shape}")
        parts.append(f"{found['documents'] / found['rows']:.1f} documents a row")
        parts.append(f"{found['fill']:.1%} of the tokens and {found['auxiliary_fill']:.1%} of the auxiliary positions used")
        parts.append(f"{found['remainder']:.1%} left over")
        if found["refused"]:
            parts.append(f"{found['refused']:.1%} without a task")
        return ", ".join(parts)

    def iterate(self, start_step: int = 0) -> Generator[Batch, None, None]:
        """Slices of this host of endless batches from `start_step` on; the position in the data is the step and nothing else.

        Raises:
          InputError: a record that is not the one whose lengths were stored.
        """
        return batches_ahead(self._load, start_step, self.settings.rows // self.process_count, self.settings)

    def _load(self, step: int, part: int, parts: int) -> Batch:
        """A part of this host's slice of the batch of `step`."""
        size = self.settings.rows // self.process_count
        first = self.process_index * size
        epoch, rows = self.plan.batch(step, first + size * part // parts, first + size * (part + 1) // parts)
        made = [self._row(row) for row in rows]
        return Batch(self.settings.shape, {name: np.stack([row[name] for row in made]) for name in made[0]}, epoch)

    def _row(self, row: Row) -> dict[str, np.ndarray]:
        items = []
        for dataset, record, recipe in row:
            try:
                items.append(build(recipe, self.datasets[dataset].record(record), self.text, self.vocabulary))
            except InputError as error:
                raise InputError(f"{self.datasets[dataset].folder}: {error}") from error
        return collate_row(items, self.settings.shape, self.auxiliary_groups, self.vocabulary.pad)

    def _check_texts(self) -> None:
        name = self.settings.text_tokenizer
        again = f"run the same `ugf prepare` again{f' with --text_tokenizer={name}' if name else ''}"
        for number, dataset in enumerate(self.datasets):
            path = f"config.data.datasets[{number}]: {dataset.folder}"
            if "lengths" not in dataset.manifest:
                raise InputError(f"{path} has no token lengths; {again} to count them")
            if dataset.manifest["text"]["digest"] != self.text.digest:
                raise InputError(f"{path} has token lengths of another text tokenizer; {again} to count with this one")
            if not dataset.num_records:
                raise InputError(f"{path} has no records")

    def _check_codes(self) -> None:
        if self.kind is None:
            return
        if self.kind.master != self.vocabulary.codes:
            raise InputError(
                f"config.vocabulary.codes is {self.vocabulary.codes}; the tokenizer of the datasets has "
                f"{self.kind.master} master codes: want that"
            )
        if self.kind.largest > self.vocabulary.sizes:
            raise InputError(
                f"config.vocabulary.sizes is {self.vocabulary.sizes}; grids of the datasets have up to "
                f"{self.kind.largest} rows or columns: want at least that"
            )

    def _identity(self) -> dict[str, object]:
        settings = self.settings
        data: dict[str, object] = {"documents": PLAN_VERSION, "seed": settings.seed}
        for number, dataset in enumerate(self.datasets):
            data[f"datasets[{number}]"] = dataset.fingerprint
        data["text_tokenizer"] = self.text.digest
        data["vocabulary"] = config.to_json(self.vocabulary)
        data["weights"] = list(settings.weights)
        if settings.serves:
            data["serves"] = list(settings.serves)
        for name in ("rows", "length", "auxiliary", "pairs"):
            data[name] = getattr(settings, name)
        data["recipes"] = config.to_json(settings.row_recipes)
        coded: dict[str, Any] = next((d.manifest["settings"]["transform"] for d in self.datasets if code_kind(d)), {})
        data["codes"] = {"tokenizer": coded.get("digest"), "buckets": coded.get("buckets", [])}
        return data


def held_out(
    settings: DocumentSettings,
    vocabulary: VocabularySettings,
    batches: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Slices of this host of the first batches of epoch 0 (all of them, where there are fewer), the same every time.

    Raises:
      InputError: as `DocumentLoader` does.
    """
    loader = DocumentLoader(settings, vocabulary, process_index, process_count)
    stream = loader.iterate()
    try:
        yield from itertools.islice(stream, min(batches, loader.batches_per_epoch))
    finally:
        stream.close()
