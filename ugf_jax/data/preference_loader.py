"""Batches of preferences, read ahead by threads; the same on any number of hosts and from any step.

A batch holds pairs of rows (`judged`): the image that was preferred, and the other one, each with the prompt. Which pairs stand
in which batch follows from the pairs of the datasets, which lie beside the index (`lengths`), the seed and the step; only then
are records read.

    tokens, segments, positions, kinds, cells                       [pairs, 2, L] …   as in `collate`, winner first
    aux_codes, aux_segments, aux_releases, aux_places, aux_levels   [pairs, 2, A] …   likewise
    pairs            int32 [pairs, 2, 1, 2]   likewise, where image and prompt are embedded
    weights          float32 [pairs]   of the preference; 0 for one that only fills up
    prompt_weights   float32 [pairs]   the same as a share of all weights of its record
"""

import dataclasses
import hashlib
import json
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from ugf_jax import config
from ugf_jax.config import NOT_NEGATIVE, POSITIVE, setting
from ugf_jax.data.ahead import Batch, batches_ahead
from ugf_jax.data.code_kind import CodeKind, common_kind
from ugf_jax.data.collate import collate_row, row_specs
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.index import Dataset, open_datasets
from ugf_jax.data.judged import ANSWER, RowKind, judged_row
from ugf_jax.data.lengths import PairTable
from ugf_jax.data.mixture import drawn, draws_per_epoch
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

PLAN_VERSION = 2  # changes whenever the same settings would give other batches


@dataclasses.dataclass(frozen=True)
class PreferenceSettings:
    """Which preferences to load, in rows of what size, in which order."""

    datasets: tuple[str, ...] = setting((), doc="folders of preferences made by `ugf prepare --tokenize`")
    weights: tuple[float, ...] = setting((), POSITIVE, "share of each dataset; empty: every preference once an epoch")
    text_tokenizer: str = setting("", doc="tokenizer.json for prompts; empty: the shipped one")
    pairs: int = setting(16, POSITIVE, "preferences of a global batch; each is two rows")
    length: int = setting(512, POSITIVE, "tokens of a row; a longer prompt is cut")
    auxiliary: int = setting(4096, NOT_NEGATIVE, "positions of auxiliary memory of a row; larger images are left out")
    seed: int = setting(0, NOT_NEGATIVE)
    threads: int = setting(0, NOT_NEGATIVE, "threads that read and build; 0: one per core, at most 16")
    prefetch: int = setting(2, POSITIVE, "batches loaded ahead")

    def validate(self, path: str) -> None:
        """Refuses weights that do not match the datasets."""
        if self.weights and len(self.weights) != len(self.datasets):
            raise InputError(
                f"{path}.weights has {len(self.weights)} values; want one for each of {len(self.datasets)} datasets"
            )


@dataclasses.dataclass(frozen=True)
class PairShape:
    """The shape of a batch: that of each of the two rows of a pair."""

    row: RowShape

    def __str__(self) -> str:
        return f"pairs of {self.row.length} tokens and {self.row.auxiliary} auxiliary positions"


def pair_specs(row: RowShape, groups: int, pairs: int) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and dtype of every array of a batch of `pairs`, of codes with so many groups a position."""
    of_row = row_specs(row, groups)
    arrays = {name: ((pairs, 2, *shape), dtype) for name, (shape, dtype) in of_row.items() if _needed(name, row)}
    return {**arrays, **dict.fromkeys(("weights", "prompt_weights"), ((pairs,), np.float32))}


def _needed(name: str, row: RowShape) -> bool:
    """Only contrastive pairs are embedded."""
    return row.pairs > 0 or name != "pairs"


class PreferenceLoader:
    """Endless batches of preferences.

    Attributes:
      datasets: the opened datasets.
      kind: the kind of image codes that they share.
      text: the tokenizer of the prompts.
      tables: of each dataset, the preferences that fit into rows.
      too_large, cut: preferences left out, and those whose prompt is cut.
      buckets: the one shape that batches have.
      batches_per_epoch: batches of every epoch.
      identity: what the batches depend on, JSON-compatible; equal exactly where the batches are.
      fingerprint: SHA-256 of the identity.
    """

    def __init__(
        self,
        settings: PreferenceSettings,
        vocabulary: VocabularySettings,
        process_index: int = 0,
        process_count: int = 1,
        endless: bool = True,
        row: RowKind = ANSWER,
    ):
        """Opens the datasets and looks at the sizes of all pairs.

        Args:
          settings: what to load.
          vocabulary: ids of everything.
          process_index, process_count: which host this is, of how many.
          endless: batches are drawn; False: only `in_order` is called, and there may be fewer pairs than a batch has.
          row: which documents each row holds, see `judged_row`.

        Raises:
          InputError: a folder that is no prepared dataset, or has no preferences, no codes, or codes or texts that the
            vocabulary has no ids for; pairs that the processes do not divide, or too few for a batch.
        """
        settings.validate("config.data")
        if settings.pairs % process_count:
            raise InputError(f"config.data.pairs is {settings.pairs}; want a multiple of the {process_count} processes")
        self.settings, self.vocabulary = settings, vocabulary
        self.process_index, self.process_count = process_index, process_count
        self.datasets = open_datasets(settings.datasets, "config.data.datasets")
        self.text = TextTokenizer.load(settings.text_tokenizer)
        vocabulary.check_text(self.text)
        self.kind = self._kind()
        self.row = row
        self.buckets = (PairShape(RowShape(settings.length, settings.auxiliary, row.pairs)),)
        self._read_tables()
        counts = np.array([len(table.record) for table in self.tables], np.int64)
        self._counts, self._draws = counts, draws_per_epoch(counts[:, None], settings.weights)[:, 0]
        self.batches_per_epoch = int(self._draws.sum()) // settings.pairs
        if endless and not self.batches_per_epoch:
            raise InputError(f"config.data.pairs is {settings.pairs}; the datasets have {counts.sum()}: want at most that")
        self.identity = self._identity()
        self.fingerprint = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def specs(self, bucket: PairShape) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Global shape and dtype of every array of a batch."""
        return pair_specs(bucket.row, self.kind.groups, self.settings.pairs)

    def summary(self) -> str:
        """One line for the log: preferences, prompts, batches, and what is left out or cut."""
        prompts = sum(len(np.unique(table.record)) for table in self.tables)
        parts = [f"{self._counts.sum()} preferences about {prompts} prompts", f"{self.batches_per_epoch} batches an epoch"]
        parts.append(str(self.buckets[0]))
        if self.too_large:
            parts.append(f"{self.too_large} left out, too large for a row")
        if self.cut:
            parts.append(f"{self.cut} with a prompt that is cut")
        return ", ".join(parts)

    def iterate(self, start_step: int = 0) -> Generator[Batch, None, None]:
        """Slices of this host of endless batches from `start_step` on; the position in the data is the step, nothing else."""
        return batches_ahead(self._load, start_step, self.settings.pairs // self.process_count, self.settings)

    def in_order(self, items: int) -> Iterator[Batch]:
        """Slices of this host of the first `items` preferences as stored; the last batch is filled up with weight 0."""
        starts, items = np.cumsum(self._counts) - self._counts, min(items, int(self._counts.sum()))
        for first in range(0, items, self.settings.pairs):
            numbers = np.arange(first, first + self.settings.pairs)[self._own(0, 1)]
            there = numbers < items
            numbers = np.minimum(numbers, items - 1)
            datasets = np.searchsorted(starts, numbers, side="right") - 1
            arrays = self._arrays(datasets, numbers - starts[datasets])
            for name in ("weights", "prompt_weights"):
                arrays[name] *= there
            yield Batch(self.buckets[0], arrays, 0)

    def _own(self, part: int, parts: int) -> slice:
        """A part of this host's slice of a batch."""
        size = self.settings.pairs // self.process_count
        first = self.process_index * size
        return slice(first + size * part // parts, first + size * (part + 1) // parts)

    def _load(self, step: int, part: int, parts: int) -> Batch:
        """A part of this host's slice of the batch of `step`."""
        epoch, number = divmod(step, self.batches_per_epoch)
        positions = (number * self.settings.pairs + np.arange(self.settings.pairs))[self._own(part, parts)]
        datasets, numbers, _ = drawn(positions, self._draws, self._counts, self.settings.seed, epoch)
        return Batch(self.buckets[0], self._arrays(datasets, numbers), epoch)

    def _arrays(self, datasets: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays of some pairs, each given by its dataset and its number there."""
        made = [self._pair(int(d), int(n)) for d, n in zip(datasets, numbers, strict=True)]
        arrays = {name: np.stack([pair[name] for pair in made]) for name in made[0]}
        tables = [self.tables[d] for d in datasets]
        weights = [table.weight[n] for table, n in zip(tables, numbers, strict=True)]
        shares = [self._shares[d][n] for d, n in zip(datasets, numbers, strict=True)]
        return arrays | {"weights": np.array(weights, np.float32), "prompt_weights": np.array(shares, np.float32)}

    def _pair(self, dataset: int, number: int) -> dict[str, np.ndarray]:
        """Arrays `[2, …]` of one pair."""
        table, settings, shape = self.tables[dataset], self.settings, self.buckets[0].row
        record = self.datasets[dataset].record(int(table.record[number]))
        prompt = self.text.encode(record.captions[0]) if record.captions else []
        rows = []
        for image in (int(table.winner[number]), int(table.loser[number])):
            try:
                row = judged_row(self.row, prompt, record.codes[image], self.vocabulary, settings.length, image)
            except InputError as error:
                raise InputError(f"{self.datasets[dataset].folder}: record '{record.key}': {error}") from error
            rows.append(collate_row(row, shape, self.kind.groups, self.vocabulary.pad))
        return {name: np.stack([row[name] for row in rows]) for name in rows[0] if _needed(name, shape)}

    def _read_tables(self) -> None:
        """The pairs of each dataset that fit into rows, and each one's share of the weights of its record."""
        self.tables: list[PairTable] = []
        self._shares: list[np.ndarray] = []
        self.too_large = self.cut = 0
        for number, dataset in enumerate(self.datasets):
            table = self._pairs(number, dataset)
            room = self.row.room(self.settings.length, table.master)
            memory = table.auxiliary * self.row.seen
            fits = (room > 0) & (memory <= self.settings.auxiliary)
            if not fits.any():
                others = (self.settings.length - self.row.prompts * room).min()
                raise InputError(
                    f"config.data.datasets[{number}]: {dataset.folder}: no pair fits into a row; the smallest takes "
                    f"{others} tokens beside the prompt and {memory.min()} auxiliary positions: "
                    f"want config.data.length and config.data.auxiliary to be more"
                )
            self.too_large += int((~fits).sum())
            self.cut += int((table.prompt > room)[fits].sum())
            table = PairTable(*(column[fits] for column in table))
            self.tables.append(table)
            _, records = np.unique(table.record, return_inverse=True)
            self._shares.append(table.weight / np.bincount(records, table.weight)[records])

    def _pairs(self, number: int, dataset: Dataset) -> PairTable:
        path = f"config.data.datasets[{number}]: {dataset.folder}"
        name = self.settings.text_tokenizer
        if "lengths" not in dataset.manifest or dataset.manifest["text"]["digest"] != self.text.digest:
            flag = f" with --text_tokenizer={name}" if name else ""
            raise InputError(f"{path} has no token lengths of this text tokenizer; run the same `ugf prepare` again{flag}")
        table = dataset.length_table.pairs()
        if not len(table.record):
            raise InputError(
                f"{path} has no preferences; want a dataset with pairs of images, such as `ugf prepare pickapic:…`"
            )
        return table

    def _kind(self) -> CodeKind:
        kind = common_kind(self.datasets, "config.data.datasets")
        if kind is None:
            raise InputError("config.data.datasets: no image codes in them; prepare them with --tokenize=RUN")
        words = self.vocabulary
        if kind.master != words.codes:
            raise InputError(f"config.data.datasets: coded with {kind.master} master codes; the model knows {words.codes}")
        if kind.largest > words.sizes:
            raise InputError(
                f"config.data.datasets: grids of up to {kind.largest} rows or columns; "
                f"the model has size tokens up to {words.sizes}"
            )
        return kind

    @property
    def coded_by(self) -> str:
        """Digest of the image tokenizer."""
        return str(self.datasets[0].manifest["settings"]["transform"].get("digest"))

    def _identity(self) -> dict[str, object]:
        settings = self.settings
        data: dict[str, object] = {"preferences": PLAN_VERSION, "seed": settings.seed}
        for number, dataset in enumerate(self.datasets):
            data[f"datasets[{number}]"] = dataset.fingerprint
        data["text_tokenizer"] = self.text.digest
        data["vocabulary"] = config.to_json(self.vocabulary)
        data["weights"] = list(settings.weights)
        for name in ("pairs", "length", "auxiliary"):
            data[name] = getattr(settings, name)
        data["row"] = dataclasses.asdict(self.row)
        details = any(int(table.auxiliary.max(initial=0)) > 0 for table in self.tables)
        data["codes"] = {"tokenizer": self.coded_by, "details": details}
        return data
