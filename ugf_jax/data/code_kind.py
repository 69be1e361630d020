"""What kind of tokenizer codes a prepared dataset holds, as its manifest says."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ugf_jax import config
from ugf_jax.config import POSITIVE, setting
from ugf_jax.data.index import Dataset
from ugf_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class CodeKind:
    """What a model must know of the codes of a tokenizer."""

    master: int = setting(1000, POSITIVE, "size of the master codebook")
    grid: int = setting(16, POSITIVE, "master codes along one side")
    auxiliary: int = setting(1000, POSITIVE, "size of the auxiliary codebook")
    groups: int = setting(4, POSITIVE, "auxiliary codes a position")
    levels: int = setting(1, POSITIVE, "auxiliary levels")
    largest: int = setting(16, POSITIVE, "most rows or columns of an image's finest auxiliary grid")


def code_kind(dataset: Dataset) -> CodeKind | None:
    """The kind of codes in a dataset; None where there are none.

    Raises:
      InputError: there are codes, but the manifest does not say of what kind.
    """
    transform: Any = dataset.manifest["settings"].get("transform")
    if transform is None and not dataset.column("code_length").any():
        return None
    kind = transform.get("codes") if isinstance(transform, dict) else None
    if kind is None:
        raise InputError(f"{dataset.folder}: its manifest does not say what kind of codes it holds; prepare it again")
    return config.parse(CodeKind, kind, f"{dataset.folder}: settings.transform.codes")


def common_kind(datasets: Sequence[Dataset], path: str) -> CodeKind | None:
    """The kind of codes that all datasets with codes share.

    Args:
      datasets: in the order of the setting.
      path: names that setting in messages, for example `config.data.datasets`.

    Raises:
      InputError: two datasets were coded by different tokenizers.
    """
    first: tuple[int, CodeKind, Any] | None = None
    for number, dataset in enumerate(datasets):
        kind = code_kind(dataset)
        if kind is None:
            continue
        digest = dataset.manifest["settings"]["transform"].get("digest")
        first = first or (number, kind, digest)
        differing = [f.name for f in dataclasses.fields(CodeKind) if getattr(kind, f.name) != getattr(first[1], f.name)]
        differing = [name for name in differing if name != "largest"]
        if differing:
            name = differing[0]
            raise InputError(
                f"{path}[{number}]: {dataset.folder} has codes with {name} {getattr(kind, name)}, {path}[{first[0]}] with "
                f"{getattr(first[1], name)}; prepare both with the same --tokenize"
            )
        if digest != first[2]:
            raise InputError(
                f"{path}[{number}]: {dataset.folder} was coded by another tokenizer than {path}[{first[0]}]; "
                "prepare both with the same --tokenize"
            )
    if first is None:
        return None
    largest = max(kind.largest for kind in map(code_kind, datasets) if kind is not None)
    return dataclasses.replace(first[1], largest=largest)
