"""What one checkpointed step holds on disk, and how it is read back with every array proven whole.

STEP/arrays/      the state as Orbax writes it, leaves named by their path in the tree
STEP/extras/extras.json
    {"sha256": of the rest, "body": {"arrays": {name: [dtype, shape, digest]}, "extras": {whatever the caller gave}}}
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from ugf_jax.errors import InputError
from ugf_jax.training.digests import digests, is_key, named_leaves

ARRAYS, EXTRAS, EXTRAS_FILE = "arrays", "extras", "extras.json"
_SHOWN = 8  # differences listed in a message


class Damaged(Exception):
    """A step whose files are missing, cannot be read, or hold other bits than were written."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """A step read back: its number, the tree of arrays, and the JSON that was saved with it."""

    step: int
    state: Any
    extras: dict[str, Any]


def describe(arrays: dict[str, jax.Array], extras: dict[str, Any]) -> dict[str, Any]:
    """The content of `extras.json` for a state; every process must call this together."""
    found = digests(arrays)
    body = {"arrays": {n: [str(x.dtype), list(x.shape), found[n]] for n, x in arrays.items()}, "extras": extras}
    return {"sha256": _sha256(body), "body": body}


def read_description(folder: epath.Path) -> dict[str, Any]:
    """The verified body of `extras.json` of the step in `folder`.

    Raises:
      Damaged: the file is missing or its digest does not match.
    """
    path = folder / EXTRAS / EXTRAS_FILE
    try:
        content = json.loads(path.read_text())
        if _sha256(content["body"]) == content["sha256"]:
            return content["body"]
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError) as error:
        raise Damaged(f"{EXTRAS}/{EXTRAS_FILE} cannot be read ({_first_line(error)})") from error
    raise Damaged(f"the digest of {EXTRAS}/{EXTRAS_FILE} does not match")


def _sha256(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()


def storable(arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays as the nested dictionary that Orbax stores: PRNG keys as their data, empty arrays left out."""
    nested: dict[str, Any] = {}
    for name, x in arrays.items():
        if x.size:
            *parents, last = name.split("/")
            inner = nested
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[last] = jax.random.key_data(x) if is_key(x) else x
    return nested


def read_step(folder: epath.Path, step: int, abstract: Any, partial: bool = False) -> Restored:
    """Reads a step onto the shardings of `abstract` and verifies every array; every process must call this together.

    Args:
      folder: the step's own folder.
      step: its number.
      abstract: tree of `jax.ShapeDtypeStruct` with shardings; their mesh need not be the one that saved.
      partial: whether `abstract` may leave out arrays that the step holds.

    Raises:
      InputError: the step holds other arrays than `abstract`.
      Damaged: see the class.
    """
    body = _together(lambda: read_description(folder))
    wanted = named_leaves(abstract)
    _check_structure(folder, body["arrays"], wanted, partial)
    arrays = _together(lambda: _read_arrays(folder, wanted))
    found = digests(arrays)
    wrong = [name for name in wanted if found[name] != body["arrays"][name][2]]
    if wrong:
        raise Damaged(f"the digest of {_some(wrong)} does not match")
    leaves = [_as_saved(arrays[name], leaf) for name, leaf in wanted.items()]
    return Restored(step, jax.tree.unflatten(jax.tree.structure(abstract), leaves), body["extras"])


def _together(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `read` returns, or `Damaged` in every process where any meets it: none may wait for one that has given up."""
    result, problem = {}, ""
    try:
        result = read()
    except Damaged as damage:
        problem = str(damage)
    if jax.process_count() > 1 and multihost_utils.process_allgather(np.int32(bool(problem))).any():
        problem = problem or "another process could not read its part"
    if problem:
        raise Damaged(problem)
    return result


def _read_arrays(folder: epath.Path, wanted: dict[str, Any]) -> dict[str, jax.Array]:
    stored = storable({name: _data_struct(leaf) for name, leaf in wanted.items()})
    restore_args = ocp.checkpoint_utils.construct_restore_args(stored)
    args = ocp.args.PyTreeRestore(stored, restore_args=restore_args, partial_restore=True)
    # The handler alone, because `ocp.Checkpointer` ends with a barrier at which a process that fails would leave the others.
    handler = ocp.PyTreeCheckpointHandler()
    try:
        arrays = named_leaves(handler.restore(folder / ARRAYS, args=args)) if stored else {}
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # Orbax raises bare `Exception` for a file that cannot be decoded
        if "RESOURCE_EXHAUSTED" in str(error):  # the device's memory is full: not the checkpoint's fault
            raise
        raise Damaged(f"its arrays cannot be read ({_first_line(error.__cause__ or error)})") from error
    finally:
        handler.close()
    for name, leaf in wanted.items():
        if not leaf.size:
            arrays[name] = jax.device_put(
                np.zeros(_data_struct(leaf).shape, _data_struct(leaf).dtype), _data_struct(leaf).sharding
            )
    absent = [name for name in wanted if not isinstance(arrays.get(name), jax.Array)]
    if absent:
        raise Damaged(f"{_some(absent)} not found")
    return arrays


def _data_struct(leaf: Any) -> jax.ShapeDtypeStruct:
    """The abstract array that is stored for `leaf`: of a key array, its data."""
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    data = jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=sharding)


def _as_saved(array: jax.Array, leaf: Any) -> jax.Array:
    if not is_key(leaf):
        return array
    impl: list[Any] = []  # JAX tells the implementation of arrays and tracers, not of abstract arrays
    jax.eval_shape(lambda key: impl.append(jax.random.key_impl(key)), leaf)
    return jax.random.wrap_key_data(array, impl=impl[0])


def _check_structure(folder: epath.Path, saved: dict[str, list[Any]], wanted: dict[str, Any], partial: bool) -> None:
    differences = []
    for name in dict.fromkeys([*wanted, *saved]):
        if name not in saved:
            differences.append(f"{name} is only in this config")
        elif name not in wanted:
            if not partial:
                differences.append(f"{name} is only in the checkpoint")
        else:
            was, now = _kind(*saved[name][:2]), _kind(str(wanted[name].dtype), wanted[name].shape)
            if was != now:
                differences.append(f"{name} is {was} in the checkpoint, {now} in this config")
    if differences:
        raise InputError(
            f"checkpoint {folder}: made with another config: {_some(differences, '; ')}; "
            "use the config it was made with, or another folder"
        )


def _kind(dtype: str, shape: Any) -> str:
    return f"{dtype}[{','.join(map(str, shape))}]"


def _some(names: list[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
