"""Weights of another project to a model in one folder, tensor by tensor: never more than a few of them in memory."""

import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import ml_dtypes
import numpy as np

import ugf_jax
from ugf_jax import config
from ugf_jax.data.text import TextTokenizer
from ugf_jax.errors import InputError
from ugf_jax.interop.mapping import slices
from ugf_jax.interop.plan import Plan
from ugf_jax.json_files import write_json
from ugf_jax.tensor_writer import TensorWriter
from ugf_jax.training.bundle import CARD, CONFIG, TEXT
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.frozen import fresh_params

CARRIED = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json")
DTYPES = {name: np.dtype(getattr(ml_dtypes, name, name)) for name in ("float32", "bfloat16", "float16")}


def import_model(
    plan: Plan, out: str | os.PathLike[str], dtype: str = "", tokenizer: str | os.PathLike[str] = "", seed: int = 0
) -> None:
    """Writes a model that `UnifiedModel.load`, `config.init_from` and `ugf export` read.

    Args:
      plan: from `plan_import`.
      out: made if it does not exist.
      dtype: in which floats are stored: "float32", "bfloat16" or "float16"; "" for that of each tensor.
      tokenizer: a tokenizer.json; "" for that beside the source.
      seed: of the parameters that the source does not have.

    Raises:
      InputError: a tensor is missing, superfluous, of another shape or does not fit the dtype, there is no tokenizer, or the
        folder holds a model already.
    """
    folder, beside = pathlib.Path(out), _folder(plan)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"OUT {folder}: a file is there; name a folder")
    if (folder / CONFIG).exists():
        raise InputError(f"OUT {folder}: holds a model already; name another folder or delete it")
    plan.check()
    text = _tokenizer(pathlib.Path(tokenizer) if tokenizer else beside / TEXT)
    plan.settings.vocabulary.check_text(TextTokenizer(text, str(tokenizer or beside / TEXT)), "vocab_size of the source")
    kinds = {target: (_stored_as(plan, target, dtype), shape) for target, shape in plan.shapes.items()}
    given = {target: part for part in plan.parts for target in part.mapping}
    kinds |= {target: (x.dtype, x.shape) for target, x in plan.ready.items()}
    made = {**new_params(plan, seed), **plan.ready}
    folder.mkdir(parents=True, exist_ok=True)
    with TensorWriter(folder, "model", kinds) as writer:
        for target, (wanted, _) in kinds.items():
            writer.write(target, _pieces(plan, target, given, made, wanted))
    (folder / TEXT).write_bytes(text)
    for name in CARRIED:
        if (beside / name).is_file():
            (folder / name).write_bytes((beside / name).read_bytes())
    (folder / CARD).write_text(_card(plan), encoding="utf-8")
    write_json(folder / CONFIG, config.to_json(plan.settings))  # last: with it the folder is a model


def new_params(plan: Plan, seed: int) -> dict[str, np.ndarray]:
    """Values of the parameters that the source does not have, as before any training: memory adds nothing yet."""
    names = plan.new
    if not names:
        return {}

    def chosen(key: jax.Array) -> dict[str, jax.Array]:
        leaves = named_leaves({"fusion": fresh_params(plan.settings, key)})
        return {name: leaves[name] for name in names}

    return {name: np.asarray(x) for name, x in jax.jit(chosen)(jax.random.key(seed)).items()}


def _pieces(plan: Plan, target: str, given: dict[str, Any], made: dict[str, np.ndarray], dtype: Any) -> Iterator[np.ndarray]:
    if target in made:
        yield made[target].astype(dtype)
        return
    part = given[target]
    for piece in slices(part.source, part.mapping[target]):
        yield cast(target, piece, dtype)


def cast(name: str, values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Values as another type.

    Raises:
      InputError: one is not finite, or becomes so.
    """
    with np.errstate(over="ignore"):
        values = values.astype(dtype, copy=False)
    if not np.isfinite(values).all():
        raise InputError(f"{name}: a value is not finite as {dtype}; want finite weights, or --dtype=float32")
    return values


@functools.cache
def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype in DTYPES.values()


def _stored_as(plan: Plan, target: str, dtype: str) -> np.dtype[Any]:
    if dtype:
        return DTYPES[dtype]
    for part in plan.parts:
        if target in part.mapping:
            found = {part.source.dtype(name) for name in part.mapping[target].sources}
            return found.pop() if len(found) == 1 and _is_float(next(iter(found))) else DTYPES["float32"]
    return DTYPES["float32"]


def _folder(plan: Plan) -> pathlib.Path:
    path = plan.parts[0].source.path
    return path if path.is_dir() else path.parent


def _tokenizer(path: pathlib.Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    how = "name one with --text_tokenizer=FILE"
    if (path.parent / "tokenizer.model").is_file():
        how = "there is a tokenizer.model: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes one from it"
    raise InputError(f"{path}: no such file; {how}")


def _card(plan: Plan) -> str:
    count = sum(int(np.prod(shape)) for shape in plan.shapes.values())
    new = sorted({name.split("/")[1] for name in plan.new})
    lines = [
        f"# {plan.what}",
        "",
        f"{count / 1e6:.1f} million parameters, imported by UGF-JAX {ugf_jax.__version__} from "
        + ", ".join(f"`{part.source.path.resolve().name}`" for part in plan.parts)
        + ".",
        "",
        f"New and untrained: parts of {', '.join(new)}; memory adds nothing yet." if new else "Nothing was added to it.",
        "",
        "The licence and the limits of use are those of the original weights.",
        "",
    ]
    return "\n".join(lines)
