"""Checkpoints: written in the background, whole or not at all, and proven whole when they are read.

Orbax does the writing; this is the only module that trainers and evaluators need to know.
"""

import logging
import os
import shutil
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy

from ugf_jax.errors import InputError
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.step_choice import newest_description, newest_good, steps
from ugf_jax.training.step_files import ARRAYS, EXTRAS, EXTRAS_FILE, Restored, describe, storable

__all__ = ["Checkpointer", "Restored", "read_extras", "restore_params", "saved_arrays", "steps"]


class _NoTracebacks(logging.Filter):
    """Orbax logs the traceback of a failed save; `Checkpointer` reports it in one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and "orbax" in record.pathname)


logging.getLogger("absl").addFilter(_NoTracebacks())

# Old steps are moved here before they are deleted: deleting a folder takes many operations, and a kill between two of them
# would leave half a step.
_DELETED = ".deleted"
_WRITE_ERRORS = (OSError, ValueError, RuntimeError)  # TensorStore reports a full disk as a ValueError


class Checkpointer:
    """The checkpoints of one training run; one of these at a time for a folder.

    Args:
      folder: where steps are kept, each in a folder named by its number; local or `gs://`. What an interrupted save left
        there is removed.
      keep: how many of the newest steps to keep.
      keep_every: also keep steps that this divides.

    Raises:
      InputError: the folder cannot be written to.
    """

    def __init__(self, folder: epath.PathLike, keep: int = 3, keep_every: int | None = None):
        self.folder = absolute(folder)
        self.keep, self.keep_every = keep, keep_every
        self._saving: int | None = None
        try:
            self._manager = self._open()
        except OSError as error:
            raise InputError(f"{folder}: cannot keep checkpoints there ({error.strerror or error})") from error

    def _open(self) -> ocp.CheckpointManager:
        self._empty_bin()
        if jax.process_index() == 0 and self.folder.exists():
            for path in self.folder.iterdir():
                if ".orbax-checkpoint-tmp" in path.name:  # Orbax itself leaves those that were killed right after mkdir
                    path.rmtree()
        policies: list[Any] = [preservation_policy.LatestN(self.keep)]
        if self.keep_every:
            policies.append(preservation_policy.EveryNSteps(self.keep_every))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.AnyPreservationPolicy(policies),
            cleanup_tmp_directories=True,
            save_root_metadata=False,
            todelete_subdir=_DELETED,
        )
        handlers = {
            # Weights hardly compress, and compressing them costs more time than writing them.
            ARRAYS: ocp.PyTreeCheckpointHandler(use_compression=False),
            EXTRAS: ocp.JsonCheckpointHandler(EXTRAS_FILE),
        }
        return ocp.CheckpointManager(self.folder, options=options, item_handlers=handlers)

    def save(self, step: int, state: Any, extras: dict[str, Any]) -> None:
        """Starts writing a step and returns as soon as its arrays are copied; a step that is already there is left alone.

        Args:
          step: its number.
          state: tree of `jax.Array`; they may be donated afterwards.
          extras: JSON to keep with it, e.g. the config.

        Raises:
          InputError: this or the previous save could not be written, e.g. to a full disk.
        """
        self.wait()
        self._empty_bin()
        if step in self.steps():
            return
        arrays = named_leaves(state)
        args = ocp.args.Composite(
            **{
                ARRAYS: ocp.args.PyTreeSave(storable(arrays)),
                EXTRAS: ocp.args.JsonSave(describe(arrays, extras)),
            }
        )
        self._saving = step
        try:
            self._manager.save(step, args=args, force=True)
        except _WRITE_ERRORS as error:
            self._failed(error)

    def wait(self) -> None:
        """Returns when the last save is durable.

        Raises:
          InputError: it could not be written.
        """
        try:
            self._manager.wait_until_finished()
        except _WRITE_ERRORS as error:
            self._failed(error)
        self._saving = None

    def _empty_bin(self) -> None:
        if jax.process_index() == 0:
            (self.folder / _DELETED).rmtree(missing_ok=True)

    def _failed(self, error: Exception) -> None:
        step, self._saving = self._saving, None
        self._manager = self._open()  # forgets the step and removes what was written of it
        intact = ", ".join(map(str, self.steps())) or "none"
        raise InputError(
            f"{self.folder}: checkpoint {step} could not be written ({_reason(error)}{_space(self.folder)}); "
            f"intact steps: {intact}; make space or choose another folder"
        ) from error

    def steps(self) -> list[int]:
        """The steps that are on disk, in order."""
        return steps(self.folder)

    def restore(self, abstract_state: Any, step: int | None = None) -> Restored:
        """Reads a step back onto the shardings of `abstract_state`, on whatever mesh or number of processes.

        Without `step` the newest good one is read; damaged ones before it are renamed `damaged-STEP`, with a warning.

        Args:
          abstract_state: tree of `jax.ShapeDtypeStruct` with shardings.
          step: an exact step.

        Raises:
          InputError: no such step, no good step, or a step of another config.
        """
        self.wait()
        restored = newest_good(self.folder, abstract_state, step, partial=False, set_aside=True)
        self._manager.reload()
        return restored

    def close(self) -> None:
        """Waits for the last save and ends the background threads."""
        self.wait()
        self._empty_bin()
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def absolute(folder: epath.PathLike) -> epath.Path:
    """The folder as Orbax wants it. A path in an object store is absolute: `epath` would put the working folder before it."""
    path = epath.Path(folder)
    return path if "://" in os.fspath(path) else path.absolute()


def read_extras(folder: epath.PathLike, step: int | None = None) -> tuple[int, dict[str, Any]]:
    """The step (default: the newest whose JSON is good) and the JSON saved with it, without reading arrays.

    Raises:
      InputError: no such step, or damaged.
    """
    found, body = newest_description(epath.Path(folder), step)
    return found, body["extras"]


def saved_arrays(folder: epath.PathLike, step: int | None = None) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The dtype and shape of every array of a step, by its path, e.g. `params/encoder/kernel`.

    Raises:
      InputError: no such step, or damaged.
    """
    _, body = newest_description(epath.Path(folder), step)
    return {name: (dtype, tuple(shape)) for name, (dtype, shape, _) in body["arrays"].items()}


def restore_params(folder: epath.PathLike, abstract: Any, step: int | None = None) -> tuple[int, Any]:
    """The step and the arrays named in `abstract`, e.g. `{"ema": …}` of a state that has a field `ema`.

    Nothing else is read, and nothing on disk is changed: a training run may go on in the folder.

    Args:
      folder: the folder of checkpoints.
      abstract: tree of `jax.ShapeDtypeStruct`, shardings optional (default: the first device).
      step: an exact step; default the newest good one.

    Raises:
      InputError: no such step, no good step, or arrays that the step does not hold.
    """
    restored = newest_good(absolute(folder), abstract, step, partial=True, set_aside=False)
    return restored.step, restored.state


def _reason(error: Exception) -> str:
    text = str(error)
    for known in (
        "No space left on device",
        "Disk quota exceeded",
        "File too large",
        "Read-only file system",
        "Permission denied",
    ):
        if known in text:
            return known
    return " ".join(text.split())[:300] or type(error).__name__


def _space(folder: epath.Path) -> str:
    if "://" in str(folder):
        return ""
    usage = shutil.disk_usage(folder)
    return f"; {usage.free / 1e6:.1f} of {usage.total / 1e6:.1f} MB free"
