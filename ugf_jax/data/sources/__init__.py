"""What `ugf prepare` can read, and how it tells what it was given."""

import glob
import os
import pathlib

from ugf_jax.data.index import INDEX_NAME, MANIFEST_NAME
from ugf_jax.data.sources import embedded, parquet, tfds
from ugf_jax.data.sources.base import IMAGE_SUFFIXES, Example, Source, Unit
from ugf_jax.data.sources.conversations import ConversationSource
from ugf_jax.data.sources.folder import FolderSource
from ugf_jax.data.sources.parquet import ParquetSource
from ugf_jax.data.sources.preferences import NAMES as PREFERENCES
from ugf_jax.data.sources.preferences import open_preferences
from ugf_jax.data.sources.tfds import TfdsSource
from ugf_jax.data.sources.webdataset import TarSource
from ugf_jax.errors import InputError

__all__ = ["Example", "Source", "Unit", "open_sources"]

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
KINDS = (
    "a folder of images, conversations in JSON, WebDataset tars, Parquet files, a TFDS name or folder, clipart, "
    + ", ".join([f"{kind}:N" for kind in embedded.DRAWN] + [f"{kind}:PATH" for kind in PREFERENCES])
)


def open_sources(
    name: str, split: str | None = None, image_root: str | None = None, data_dir: str | None = None
) -> dict[str, Source]:
    """Recognises a source.

    Args:
      name: what the user typed: a folder, a file, a pattern such as `data/*.tar`, a TFDS name, `clipart`, `shapes:N`,
        `aligned:N`, `crowd:N`, `tinted:N`, `fine:N`, `busy:N`, `edits:N`, `pickapic:PATH`.
      split: take only this split of a source that has splits.
      image_root: folder that the paths in a conversation file are relative to; default: the folder of the file.
      data_dir: where TFDS datasets lie; default: `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
      sources by split; a source without splits is alone under `""`.

    Raises:
      InputError: nothing of that name, or nothing in it that can be read.
    """
    found = _recognise(name, image_root, data_dir)
    if split is None:
        return found
    if split not in found:
        known = ", ".join(k for k in found if k)
        raise InputError(f"{name}: no split '{split}'; " + (f"splits: {known}" if known else "it has no splits"))
    return {split: found[split]}


def _recognise(name: str, image_root: str | None, data_dir: str | None) -> dict[str, Source]:
    if name == "clipart":
        return {split: embedded.clipart(split) for split in embedded.SPLITS}
    kind, _, request = name.partition(":")
    if kind in embedded.DRAWN and (":" in name or not os.path.exists(name)):
        return embedded.drawn(kind, request)
    if kind in PREFERENCES and ":" in name and not os.path.exists(name):
        return open_preferences(kind, request, image_root)
    path = pathlib.Path(name).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _files([path], image_root)
    if any(c in name for c in "*?["):
        matching = sorted(pathlib.Path(p) for p in glob.glob(name, recursive=True))
        if not matching:
            raise InputError(f"{name}: no file matches")
        return _files(matching, image_root)
    stored = tfds.find(name, data_dir)
    if stored:
        return {split: TfdsSource(stored, split) for split in tfds.split_names(stored)}
    raise InputError(f"{name}: no such file or folder, and no TFDS dataset of that name on this machine; want {KINDS}")


def _files(paths: list[pathlib.Path], image_root: str | None) -> dict[str, Source]:
    """Files that the user named."""
    if all(p.name.lower().endswith(TAR_SUFFIXES) for p in paths):
        return {"": TarSource(tuple(paths))}
    if all(p.suffix.lower() == ".parquet" for p in paths):
        return {split: ParquetSource(files) for split, files in parquet.splits(paths).items()}
    if len(paths) == 1 and paths[0].suffix.lower() in (".json", ".jsonl"):
        root = pathlib.Path(image_root).expanduser() if image_root else paths[0].parent
        if not root.is_dir():
            raise InputError(f"--image_root {root}: no such folder")
        return {"": ConversationSource(paths[0], root)}
    if paths[0].name.lower().endswith(IMAGE_SUFFIXES):
        raise InputError(f"{paths[0]}: one image; name the folder that holds it")
    raise InputError(f"{paths[0]}: not something that can be read; want {KINDS}")


def _folder(path: pathlib.Path) -> dict[str, Source]:
    """A folder, by what lies in it."""
    stored = tfds.find(str(path.absolute()), None)
    if stored:
        return {split: TfdsSource(stored, split) for split in tfds.split_names(stored)}
    if (path / MANIFEST_NAME).is_file() and (path / INDEX_NAME).is_file():
        raise InputError(f"{path}: already a prepared dataset")
    files = sorted(pathlib.Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    tars = [p for p in files if p.name.lower().endswith(TAR_SUFFIXES)]
    tables = [p for p in files if p.suffix.lower() == ".parquet"]
    images = any(p.name.lower().endswith(IMAGE_SUFFIXES) for p in files)
    if (tars and tables) or (images and (tars or tables)):
        kinds = [k for k, there in (("images", images), ("tar files", tars), ("Parquet files", tables)) if there]
        raise InputError(f"{path}: holds {' and '.join(kinds)}; name one kind, such as '{path}/*.tar'")
    if tars:
        return {"": TarSource(tuple(tars))}
    if tables:
        return {split: ParquetSource(files) for split, files in parquet.splits(tables).items()}
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        raise InputError(f"{path}: written by datasets.save_to_disk; write it with to_parquet instead")
    return {"": FolderSource(path)}
