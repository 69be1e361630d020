"""A complete model in one folder, as it is given away: everything that inference needs, and nothing of training.

config.json           settings of every part, and where each came from
model.safetensors     all parameters: `tokenizer/…`, `fusion/…`, `detail/…`; shards and an index where they are many
tokenizer.json        the text tokenizer
README.md             the model card
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from ugf_jax import config, tensor_files
from ugf_jax.config import one_of, setting
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.json_files import write_json
from ugf_jax.models.detail import DetailSettings
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.tokenizer import TokenizerSettings
from ugf_jax.models.unmasking import UnmaskSettings
from ugf_jax.training.digests import named_leaves

FORMAT, UNITOKEN, VERSION = "ugf-model", "ugf-unitoken", 2
CONFIG, WEIGHTS, TEXT, CARD = "config.json", "model.safetensors", "tokenizer.json", "README.md"
SHARDS = "model" + tensor_files.INDEX


@dataclasses.dataclass(frozen=True)
class BundleSettings:
    """What `config.json` says."""

    format: str = setting(FORMAT, one_of(FORMAT, UNITOKEN))
    version: int = setting(VERSION, one_of(1, VERSION))
    tokenizer: TokenizerSettings = setting(TokenizerSettings())
    vocabulary: VocabularySettings = setting(VocabularySettings())
    model: FusionSettings = setting(FusionSettings())
    detail: DetailSettings | None = setting(None, doc="None: no detail model; pictures are the master's")
    sampling: UnmaskSettings = setting(UnmaskSettings())
    grids: tuple[tuple[int, int], ...] = setting((), doc="(rows, columns) of auxiliary positions that training saw")
    steps: dict[str, int] = setting({}, doc="training steps of each part")
    codes: str = setting("", doc="digest of the image tokenizer as it was trained; empty: not known")
    imported: dict[str, Any] = setting({}, doc="config.json of the weights that it was made from; empty: trained here")

    def validate(self, path: str) -> None:
        """Refuses models that would compute something else today: in version 1 cross-attention came after its blocks."""
        if self.version == 1 and self.model.cross_every:
            raise InputError(f"{path}: a model with memory of version 1; want version {VERSION}: train and export it anew")


@dataclasses.dataclass(frozen=True)
class UniTokenSettings(BundleSettings):
    """What `config.json` says of a model whose token ids are those of Chameleon."""

    format: str = setting(UNITOKEN, one_of(UNITOKEN))
    vocabulary: UniTokenVocabulary = setting(UniTokenVocabulary())


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A model as it is stored.

    Attributes:
      settings: of every part.
      variables: nested arrays under `tokenizer` (`params` and quantizers' state), `fusion` and, if there is one, `detail`.
      text: the text tokenizer.
    """

    settings: BundleSettings
    variables: dict[str, Any]
    text: TextTokenizer


def save_bundle(
    folder: str | os.PathLike[str], settings: BundleSettings, variables: Any, text_tokenizer: bytes, card: str, dtype: str
) -> None:
    """Writes a model.

    Args:
      folder: made if it does not exist; where it holds the very same model, nothing is written.
      settings: of every part.
      variables: as in `Bundle`.
      text_tokenizer: content of a tokenizer.json.
      card: text of the model card.
      dtype: "float32" or "float16", in which floats are stored; they are float32 again when loaded.

    Raises:
      InputError: a parameter that the dtype cannot hold, or a folder with another model.
    """
    folder = pathlib.Path(folder)
    arrays = {name: _stored(name, value, dtype) for name, value in named_leaves(variables).items()}
    if (folder / CONFIG).exists():
        if not _holds(folder, settings, arrays):
            raise InputError(f"{folder}: holds another model already; name another folder or delete it")
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TEXT).write_bytes(text_tokenizer)
    safetensors.numpy.save_file(arrays, folder / WEIGHTS, metadata={"format": FORMAT, "version": str(VERSION)})
    (folder / WEIGHTS).chmod((folder / TEXT).stat().st_mode)  # it comes readable by its owner alone
    (folder / CARD).write_text(card, encoding="utf-8")
    write_json(folder / CONFIG, config.to_json(settings))  # last: with it the folder is a model


def _stored(name: str, value: Any, dtype: str) -> np.ndarray:
    """An array as the file holds it."""
    array = np.asarray(jax.device_get(value))
    if array.dtype == np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(dtype)
        if not np.isfinite(array).all():
            raise InputError(f"{name}: a value does not fit into {dtype}; use --dtype=float32")
    return np.ascontiguousarray(array)


def _holds(folder: pathlib.Path, settings: BundleSettings, arrays: dict[str, np.ndarray]) -> bool:
    """Whether the model in a folder has these settings and these very arrays."""
    try:
        same = json.loads((folder / CONFIG).read_text(encoding="utf-8")) == json.loads(json.dumps(config.to_json(settings)))
        found = safetensors.numpy.load_file(folder / WEIGHTS) if same else {}
    except (OSError, ValueError, safetensors.SafetensorError):
        return False
    return found.keys() == arrays.keys() and all(
        found[name].dtype == array.dtype and np.array_equal(found[name], array) for name, array in arrays.items()
    )


def load_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Reads a model.

    Raises:
      InputError: the folder holds none, or one that is damaged or of another version.
    """
    folder = pathlib.Path(folder)
    settings = read_settings(folder)
    arrays = {name: tensor.read() for name, tensor in tensor_files.read_folder(folder).items()}
    return Bundle(settings, _nested(arrays), TextTokenizer.load(os.fspath(folder / TEXT)))


def read_settings(folder: str | os.PathLike[str]) -> BundleSettings:
    """What is in a model, without its parameters.

    Raises:
      InputError: the folder holds none, or one whose settings are of another version.
    """
    folder = pathlib.Path(folder)
    for name in (CONFIG, WEIGHTS, TEXT):
        if not (folder / name).is_file() and not (name == WEIGHTS and (folder / SHARDS).is_file()):
            raise InputError(f"{folder}: not a model (no {name}); make one from training runs with `ugf export`")
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / CONFIG}: cannot be read ({error})") from error
    unitoken = isinstance(values, dict) and values.get("format") == UNITOKEN
    return config.parse(UniTokenSettings if unitoken else BundleSettings, values, str(folder / CONFIG))


def is_bundle(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a model rather than a training run."""
    path = pathlib.Path(folder)
    return (path / TEXT).is_file() and (path / CONFIG).is_file() and not (path / "checkpoints").exists()


def read_params(folder: str | os.PathLike[str], part: str, abstract: Any) -> Any:
    """The parameters of one part of a model that are in the tree, on its shardings; each host reads its own shards only.

    Args:
      folder: of the model.
      part: e.g. `fusion`.
      abstract: tree of `jax.ShapeDtypeStruct`, shardings optional (default: the first device).

    Raises:
      InputError: the folder holds no model, or a parameter is missing or of another shape.
    """
    read_settings(pathlib.Path(folder))
    found, wanted = tensor_files.read_folder(pathlib.Path(folder)), named_leaves(abstract)
    for name, leaf in wanted.items():
        own = found.get(f"{part}/{name}")
        if own is None or own.shape != leaf.shape:
            have = f"is {own.shape}" if own else "is missing"
            raise InputError(f"{folder}: {part}/{name} {have}; want {leaf.shape}")
    leaves = [_placed(found[f"{part}/{name}"], leaf) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def _placed(tensor: tensor_files.Tensor, leaf: Any) -> jax.Array:
    if leaf.sharding is None:
        return jnp.asarray(tensor.read().astype(leaf.dtype))
    return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda i: tensor.read(cast(Any, i)).astype(leaf.dtype))


def check_shapes(found: Any, wanted: Any, where: str) -> None:
    """Refuses parameters that are not those of a model of these settings.

    Raises:
      InputError: one is missing, superfluous or of another shape; the message names it.
    """
    have, want = named_leaves(found), named_leaves(wanted)
    for name in want:
        if name not in have:
            raise InputError(f"{where}: {name} is missing")
        if have[name].shape != want[name].shape:
            raise InputError(f"{where}: {name} is {have[name].shape}; its config.json wants {want[name].shape}")
    for name in have:
        if name not in want:
            raise InputError(f"{where}: {name} belongs to no part that its config.json describes")


def _nested(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """`{"a/b": x}` to `{"a": {"b": x}}`, floats as float32 on the device."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *path, last = name.split("/")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = jnp.asarray(array, jnp.float32 if jnp.issubdtype(array.dtype, jnp.floating) else array.dtype)
    return tree


def digest(folder: str | os.PathLike[str]) -> str:
    """SHA-256 over all files of a model that what it says depends on: settings, parameters, text tokenizer."""
    place = pathlib.Path(folder)
    total = hashlib.sha256()
    for path in (place / CONFIG, *sorted(place.glob(f"{pathlib.Path(WEIGHTS).stem}*.safetensors")), place / TEXT):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
