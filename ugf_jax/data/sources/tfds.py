"""TensorFlow Datasets stored as ArrayRecord, read without TensorFlow; images keep the bytes they were stored with."""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.sources import base, fields
from ugf_jax.errors import InputError

INFO_NAME = "dataset_info.json"
FEATURES_NAME = "features.json"


@dataclasses.dataclass(frozen=True)
class TfdsSource(base.Source):
    """One split. Key: a feature `key`, `id` or `image/id`, else the number of the example; order is that of the files."""

    folder: pathlib.Path
    split: str

    def describe(self) -> dict[str, Any]:
        """Folder, split and a digest of its files."""
        files = sorted(self.folder.glob(f"*-{self.split}.array_record*"))
        found = base.digest(base.file_identity(p) for p in files)
        return {"kind": "tfds", "path": str(self.folder.resolve()), "split": self.split, "digest": found}

    def units(self) -> list[base.Unit]:
        """Pieces of 128 examples."""
        builder = _builder(self.folder)
        _image_features(builder.info.features, self.folder)
        total, step = builder.info.splits[self.split].num_examples, base.EXAMPLES_PER_UNIT
        if not total:
            raise InputError(f"{self.folder}: split '{self.split}' is empty")
        pieces = [(i, min(i + step, total)) for i in range(0, total, step)]
        return [base.Unit(piece, piece[1] - piece[0]) for piece in pieces]

    def examples(self, unit: base.Unit) -> Iterator[base.Example]:
        """The examples of a piece."""
        import tensorflow_datasets as tfds  # seconds to import; only this source needs it

        builder = _builder(self.folder)
        features = builder.info.features
        names = _image_features(features, self.folder)
        decoders = {name: tfds.decode.SkipDecoding() for name in names}
        data = builder.as_data_source(split=self.split, decoders=decoders)
        classes = {n: f for n, f in features.items() if isinstance(f, tfds.features.ClassLabel)}
        for number in range(*unit.content):
            entry = dict(data[number])
            images = tuple(_image(entry.pop(name)) for name in names)
            for name, feature in classes.items():
                if int(entry[name]) >= 0 and feature.names:
                    entry[f"{name}_name"] = feature.int2str(int(entry[name]))
            yield _example(number, images, fields.plain(entry))


def find(name: str, data_dir: str | None) -> pathlib.Path | None:
    """The folder of the newest version of a dataset given as a folder or as `name`, `name/config` or `name:version`.

    Returns:
      None where there is none.

    Raises:
      InputError: there are several configurations or datasets below it.
    """
    root = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    for start in (pathlib.Path(name), root / name.replace(":", "/")):
        found = [
            p
            for p in (start, *start.glob("*"), *start.glob("*/*"))
            if (p / INFO_NAME).is_file() and (p / FEATURES_NAME).is_file()
        ]
        if len({p.parent for p in found if p != start}) > 1:
            raise InputError(f"{start}: holds several datasets; name one: {', '.join(sorted(map(str, found)))}")
        if found:
            return max(found, key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
    return None


def split_names(folder: pathlib.Path) -> list[str]:
    """Splits of a dataset on disk.

    Raises:
      InputError: it is not stored as ArrayRecord, or its description cannot be read.
    """
    path = folder / INFO_NAME
    try:
        info = json.loads(path.read_text())
        names, form = [s["name"] for s in info["splits"]], info.get("fileFormat", "tfrecord")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the description of a TFDS dataset ({error})") from error
    if form != "array_record":
        raise InputError(
            f"{folder}: stored as {form}, which only TensorFlow reads; "
            "convert it where TensorFlow is installed: tfds convert_format --out_file_format=array_record"
        )
    return names


def _builder(folder: pathlib.Path) -> Any:
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(os.fspath(folder))


def _image_features(features: Any, folder: pathlib.Path) -> list[str]:
    import tensorflow_datasets as tfds

    found = [name for name, feature in features.items() if isinstance(feature, tfds.features.Image)]
    if not found:
        raise InputError(f"{folder}: no image feature; features: {', '.join(features)}")
    return sorted(found, key=lambda name: (name != "image", name))


def _image(value: Any) -> bytes | ImageRejected:
    return bytes(value) if isinstance(value, (bytes, bytearray)) else ImageRejected("missing file", "no image in the example")


def _example(number: int, images: tuple[bytes | ImageRejected, ...], entry: dict[str, Any]) -> base.Example:
    entry = {k.removeprefix("image/") if k in ("image/id", "image/key") else k: v for k, v in entry.items()}
    key = fields.key_of(entry) or f"{number:09d}"
    try:
        return base.Example(key, images, **fields.split_fields(fields.without_keys(entry, key)))
    except ImageRejected as refusal:
        return base.Example(key, images, refusal=refusal)
