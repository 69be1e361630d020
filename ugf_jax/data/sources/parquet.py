"""Parquet as Hugging Face writes it: images as `{bytes, path}` structs (or lists of them), texts in columns."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.sources import base, fields
from ugf_jax.errors import InputError

_SPLIT_NAME = re.compile(r"([A-Za-z][\w.]*?)-\d{5}-of-\d{5}(-[0-9a-f]+)?\.parquet")


@dataclasses.dataclass(frozen=True)
class ParquetSource(base.Source):
    """Parquet files, read by row groups. Key: a column `key`, `id` or `__key__`, else the image's path, else file and row."""

    paths: tuple[pathlib.Path, ...]

    def describe(self) -> dict[str, Any]:
        """Names, sizes and times of the files."""
        found = base.digest(base.file_identity(p.resolve()) for p in self.paths)
        return {"kind": "parquet", "paths": [str(self.paths[0].resolve())], "files": len(self.paths), "digest": found}

    def units(self) -> list[base.Unit]:
        """Runs of row groups of one file that together hold 128 rows or more."""
        units = []
        for path in self.paths:
            with _open(path) as file:
                image_columns(file.schema_arrow, path)
                first, groups, rows, before = 0, 0, 0, 0
                for group in range(file.num_row_groups):
                    groups, rows = groups + 1, rows + file.metadata.row_group(group).num_rows
                    if rows >= base.EXAMPLES_PER_UNIT or group == file.num_row_groups - 1:
                        units.append(base.Unit((path, list(range(first, first + groups)), before), rows))
                        first, before, groups, rows = group + 1, before + rows, 0, 0
        if not sum(u.count or 0 for u in units):
            raise InputError(f"{self.paths[0]}: no rows")
        return units

    def examples(self, unit: base.Unit) -> Iterator[base.Example]:
        """The rows of a piece."""
        path, groups, row = unit.content
        try:
            with _open(path) as file:
                columns = image_columns(file.schema_arrow, path)
                names = _class_names(file.schema_arrow)
                for batch in file.iter_batches(batch_size=32, row_groups=groups):
                    for entry in batch.to_pylist():
                        yield _example(f"{path.stem}/{row:09d}", entry, columns, names)
                        row += 1
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: damaged Parquet ({_first_line(error)}); fetch it again") from error


def splits(paths: list[pathlib.Path]) -> dict[str, tuple[pathlib.Path, ...]]:
    """Files by split where they are named as the hub names them (`train-00000-of-00002.parquet`); else all under `""`."""
    found: dict[str, list[pathlib.Path]] = {}
    for path in paths:
        named = _SPLIT_NAME.fullmatch(path.name)
        found.setdefault(named[1] if named else "", []).append(path)
    if len(found) == 1 or "" in found:
        return {"": tuple(paths)}
    return {name: tuple(files) for name, files in found.items()}


def image_columns(schema: pa.Schema, path: pathlib.Path) -> list[str]:
    """Columns that hold encoded images.

    Raises:
      InputError: there is none.
    """
    found = [f.name for f in schema if _holds_images(f)]
    if not found:
        raise InputError(f"{path}: no column of images (a struct with 'bytes'); columns: {', '.join(schema.names)}")
    return found


def _holds_images(field: pa.Field) -> bool:
    kind = field.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and pa.types.is_binary(kind.field("bytes").type)
    named = field.name.lower() in ("image", "images", "img", "jpg", "jpeg", "png", "webp", "image_bytes")
    return named and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _open(path: pathlib.Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a Parquet file ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Names of the classes of each `ClassLabel` column, which the `datasets` package keeps in the schema's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: f["names"] for name, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _example(key: str, entry: dict[str, Any], columns: list[str], classes: dict[str, list[str]]) -> base.Example:
    cells = [cell for name in columns for cell in _cells(entry.pop(name))]
    paths = [c["path"] for c in cells if isinstance(c, dict) and isinstance(c.get("path"), str)]
    own = fields.key_of(entry)
    stem = re.sub(r"\.[^./]*$", "", paths[0]) if paths else ""
    key = own or stem or key
    for name, names in classes.items():
        label = entry.get(name)
        if isinstance(label, int) and 0 <= label < len(names):
            entry[f"{name}_name"] = names[label]
    images = tuple(_image(c) for c in cells)
    try:
        return base.Example(key, images, **fields.split_fields(fields.without_keys(entry, key)))
    except ImageRejected as refusal:
        return base.Example(key, images, refusal=refusal)


def _cells(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else [cell]


def _image(cell: Any) -> bytes | ImageRejected:
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        return data
    where = cell.get("path") if isinstance(cell, dict) else None
    return ImageRejected("missing file", f"only the path {where!r}, no bytes" if where else "no image in the row")
