"""Where a run starts: its own checkpoint, another run's (`resume`), another run's parameters (`init_from`), or step 0."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import flax
import jax
from etils import epath

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.training.bundle import is_bundle, read_params, read_settings
from ugf_jax.training.checkpoints import Checkpointer, read_extras, restore_params, saved_arrays
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.sharding import path_name
from ugf_jax.training.state import TrainState

# What may change between two runs of one workdir; everything else makes it another experiment.
FREE = (
    *("steps", "log_every", "max_bad_steps", "tensorboard", "resume", "init_from", "init_except"),
    *("mesh", "checkpoint", "evaluation", "data", "limits", "heartbeat", "watchdog"),
)

CODEBOOK = "codebook"  # collection of quantizers that learn by moving averages


@dataclasses.dataclass(frozen=True)
class Start:
    """Step to continue from, and the state or the parameters to continue with (neither: start afresh).

    Codebooks that are learnt beside parameters come with them: `codebooks` is that part of `TrainState.model_state`.
    """

    step: int
    why: str
    state: TrainState | None = None
    params: Any = None
    codebooks: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def find_start(
    settings: TrainSettings, data: Mapping[str, Any], abstract: TrainState, own: Checkpointer, allow_data_change: bool
) -> Start:
    """Applies the order own checkpoint → `resume` → `init_from` → fresh.

    Args:
      settings: the config of this run.
      data: identity of the data, see `Loader.identity`.
      abstract: shapes and shardings of the state.
      own: checkpoints of this workdir.
      allow_data_change: do not refuse other data.

    Raises:
      InputError: the checkpoint belongs to another config or other data; the message names what differs.
    """
    if own.steps():
        _check(own.folder, settings, data, allow_data_change)
        restored = own.restore(abstract)
        return Start(restored.step, f"resumed at step {restored.step}", state=restored.state)
    if settings.resume:
        folder = _checkpoints(settings.resume, "config.resume")
        _check(folder, settings, data, allow_data_change)
        step, state = restore_params(folder, abstract)  # reads only: the other run may still be going
        return Start(step, f"took over {settings.resume} at step {step}", state=state)
    if settings.init_from and is_bundle(settings.init_from):
        _check_model(settings)
        wanted = without(settings.init_except, abstract.params)
        return Start(0, f"parameters of {settings.init_from}", params=read_params(settings.init_from, "fusion", wanted))
    if settings.init_from:
        folder = _checkpoints(settings.init_from, "config.init_from")
        averaged = any(name.startswith("ema/") for name in saved_arrays(folder))
        name = "ema" if averaged else "params"
        learnt = {part: x for part, x in abstract.model_state.items() if part == CODEBOOK}
        wanted = without(settings.init_except, abstract.params)
        step, found = restore_params(folder, {name: wanted, "model_state": learnt})
        why = f"{'averaged ' * averaged}parameters of {settings.init_from} step {step}"
        return Start(0, why, params=found[name], codebooks=found["model_state"])
    return Start(0, "started afresh")


def without(pattern: str, params: Any) -> Any:
    """A tree of parameters without those whose path has the pattern in it; the empty pattern is in none.

    Raises:
      InputError: the pattern is in no path, or in all.
    """
    if not pattern:
        return params
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kept = {path_name(path): x for path, x in leaves if not re.search(pattern, path_name(path))}
    if len(kept) in (0, len(leaves)):
        raise InputError(f"config.init_except is '{pattern}'; {'no' if kept else 'every'} parameter has that in its path")
    return flax.traverse_util.unflatten_dict(kept, sep="/")


def _checkpoints(workdir: str, key: str) -> epath.Path:
    folder = epath.Path(workdir) / "checkpoints"
    if not folder.exists():
        raise InputError(f"{key}: {workdir} is not the workdir of a run (it has no checkpoints folder)")
    return folder


def _check_model(settings: TrainSettings) -> None:
    """Refuses a model that computes something else from parameters of the same shapes."""
    model = getattr(settings, "model", None)
    wanted = computation(model) if isinstance(model, FusionSettings) else {}
    found = computation(read_settings(settings.init_from).model)
    for name, own in wanted.items():
        value = found.get(name)
        if own != value:
            raise InputError(f"config.model.{name} is {own}; the model in config.init_from, {settings.init_from}, has {value}")


def computation(model: FusionSettings) -> dict[str, Any]:
    """Settings that the shapes of parameters do not tell."""
    block, vision = model.block, model.vision
    names = ("heads", "kv_heads", "head_features", "qk_norm", "epsilon")
    known = {name: getattr(block, name) for name in names}
    known |= {name: getattr(model, name) for name in ("rope_base", "rope_scaling")}
    if vision:
        known |= {f"vision.{name}": getattr(vision, name) for name in ("heads", "patch", "resampling")}
    return known


def _check(folder: epath.Path, settings: TrainSettings, data: Mapping[str, Any], allow_data_change: bool) -> None:
    """Refuses checkpoints of another config or other data."""
    _, extras = read_extras(folder)
    changed = differences(completed(extras["config"], type(settings)), config.to_json(settings), skip=FREE)
    if changed:
        raise InputError(f"{folder} belongs to another config: {'; '.join(changed[:5])}; use another --workdir")
    changed = differences(extras["data"], data)
    if changed and not allow_data_change:
        raise InputError(
            f"{folder} was trained on other data: {'; '.join(changed[:5])}; use another --workdir or --allow_data_change"
        )


def completed(old: Any, kind: type[TrainSettings]) -> Any:
    """The config of a run as JSON, with the defaults of keys that came later: a new key does not make it another run."""
    try:
        return config.to_json(config.parse(kind, old))
    except InputError:  # a key that is gone, or a value that is refused today: what differs is told as it stands
        return old


def differences(old: Any, new: Any, path: str = "", skip: tuple[str, ...] = ()) -> list[str]:
    """`['seed: 0 -> 1', …]` for two trees of JSON values; `skip` names top-level keys to leave out."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [k for k in dict.fromkeys([*old, *new]) if k not in skip]
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{path}.{k}" if path else k)]
    old, new = _lists(old), _lists(new)
    return [] if old == new else [f"{path}: {old} -> {new}"]


def _lists(value: Any) -> Any:
    """Tuples as lists, at any depth: JSON has no tuples."""
    return [_lists(v) for v in value] if isinstance(value, (tuple, list)) else value
