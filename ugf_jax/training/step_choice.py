"""Which step to read: the newest that is whole, or the one that was asked for."""

import sys
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from ugf_jax.errors import InputError
from ugf_jax.training.step_files import Damaged, Restored, read_description, read_step


def steps(folder: epath.PathLike) -> list[int]:
    """The whole steps in a folder of checkpoints, in order; a save under way is not among them."""
    return sorted(found.step for found in ocp.path.step.standard_name_format().find_all(folder))


def _candidates(folder: epath.Path, step: int | None) -> list[int]:
    present = steps(folder)
    if step is not None and step not in present:
        have = ", ".join(map(str, present)) or "none"
        raise InputError(f"{folder}: no checkpoint of step {step}; steps there: {have}")
    if not present:
        raise InputError(f"{folder}: no checkpoints there; name a folder that training has written")
    return [step] if step is not None else present[::-1]


def newest_description(folder: epath.Path, step: int | None) -> tuple[int, dict[str, Any]]:
    """The newest step whose `extras.json` is good, or exactly `step`, and that file's body."""
    candidates = _candidates(folder, step)
    for candidate in candidates:
        try:
            return candidate, read_description(folder / str(candidate))
        except Damaged as damage:
            _report(folder, candidate, damage, step)
    raise _no_good_step(folder, candidates)


def newest_good(folder: epath.Path, abstract: Any, step: int | None, partial: bool, set_aside: bool) -> Restored:
    """The newest step that is good, or exactly `step`; see `step_files.read_step`.

    Args:
      folder: the folder of checkpoints.
      abstract: tree of `jax.ShapeDtypeStruct`.
      step: an exact step, or None.
      partial: whether `abstract` may leave out arrays that the step holds.
      set_aside: rename the damaged steps that are met on the way.

    Raises:
      InputError: no such step, no good step, or a step of another config.
    """
    candidates = _candidates(folder, step)
    for candidate in candidates:
        try:
            return read_step(folder / str(candidate), candidate, abstract, partial)
        except Damaged as damage:
            _report(folder, candidate, damage, step)
            if set_aside:
                _set_aside(folder, candidate)
    raise _no_good_step(folder, candidates)


def _report(folder: epath.Path, step: int, damage: Damaged, asked: int | None) -> None:
    message = f"checkpoint {folder / str(step)} is damaged: {damage}"
    if asked is not None:
        raise InputError(f"{message}; ask for another step of {', '.join(map(str, steps(folder)))}") from damage
    if jax.process_index() == 0:
        print(f"warning: {message}; trying the step before it", file=sys.stderr, flush=True)


def _no_good_step(folder: epath.Path, tried: list[int]) -> InputError:
    return InputError(f"{folder}: every checkpoint is damaged ({', '.join(map(str, tried))}); start again in another folder")


def _set_aside(folder: epath.Path, step: int) -> None:
    """Keeps a damaged step as evidence under a name that no step has."""
    if jax.process_index() == 0:
        target, number = folder / f"damaged-{step}", 2
        while target.exists():
            target, number = folder / f"damaged-{step}-{number}", number + 1
        (folder / str(step)).rename(target)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"set aside damaged step {step}")
