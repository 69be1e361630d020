"""Plans that were made before, as JSON: compiling takes minutes."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import ugf_jax
from ugf_jax.json_files import write_json


def default_folder() -> pathlib.Path:
    """Where plans are kept unless a flag says otherwise."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ugf_jax" / "plans"


def source_digest() -> str:
    """Tells this version of the package from any other."""
    folder = pathlib.Path(ugf_jax.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def cached(folder: pathlib.Path | None, question: dict[str, Any], answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer to a question, from the folder where it was asked before.

    Args:
      folder: of the cache; None asks anew.
      question: all that the answer depends on, JSON-compatible.
      answer: finds it out; what it raises is not kept.
    """
    if folder is None:
        return answer()
    path = folder / f"{hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:32]}.json"
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None  # cut short: made again
        if isinstance(found, dict):
            return found
    made = answer()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, made)
    return made
