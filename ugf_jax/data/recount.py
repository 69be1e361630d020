"""The token lengths of a finished dataset, counted again with another text tokenizer: no image is decoded or coded again."""

import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ugf_jax.data import index, lengths, shards
from ugf_jax.data.recipes import lengths_of
from ugf_jax.data.text import TextTokenizer
from ugf_jax.progress import Progress

BATCH = 1024


def recount(dataset: index.Dataset, text: TextTokenizer, label: str) -> dict[str, Any]:
    """Replaces the lengths; stopped at any moment, the dataset is as before or as wanted.

    Returns:
      the new manifest.

    Raises:
      InputError: a conversation whose image marks do not match its images, or a disk that cannot be written.
    """
    path = dataset.folder / lengths.file_name(text.digest)
    with Progress(f"{label}: token lengths", dataset.num_records, "records") as progress:
        shards.write_index(path, _counted(dataset, text, progress), lengths.SCHEMA)
    manifest = dataset.manifest | {"text": shards.text_identity(text), "lengths": shards.file_entry(path)}
    shards.write_text(dataset.folder / index.MANIFEST_NAME, shards.manifest_text(manifest))
    return manifest


def remove_strays(folder: pathlib.Path, manifest: dict[str, Any]) -> None:
    """Removes lengths that the manifest does not name (of another tokenizer, or of a stopped run) and unfinished files."""
    for path in (*folder.glob(lengths.file_name("*")), *folder.glob(".*.partial")):
        if path.name != manifest["lengths"]["name"]:
            path.unlink()


def _counted(dataset: index.Dataset, text: TextTokenizer, progress: Progress) -> Iterator[pa.RecordBatch]:
    records = dataset.records()
    while batch := [lengths_of(record, text) for record in itertools.islice(records, BATCH)]:
        yield lengths.table(batch)
        progress.advance(len(batch))
