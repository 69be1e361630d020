"""Which configs a sweep tries."""

import ast
import itertools
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from ugf_jax.errors import InputError
from ugf_jax.planning.concerns import LEAST_ROWS
from ugf_jax.planning.topology import Topology

Vary = list[tuple[str, list[Any]]]  # key of the config, values to try
ROWS = {"unified": "data.rows", "unitoken": "data.rows", "reward": "data.pairs", "rlhf": "prompts.count"}


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """`mesh.fsdp=16,32` as its key and values.

    Raises:
      InputError: it is not of this form.
    """
    key, equals, values = text.partition("=")
    if not equals or not key or not values:
        raise InputError(f"--vary is '{text}'; want KEY=VALUE,VALUE such as mesh.fsdp=16,32")
    return key.removeprefix("config."), [_value(one) for one in values.split(",")]


def defaults(values: ConfigDict, topology: Topology) -> Vary:
    """Meshes with enough rows a shard, blocks recomputed or not, one to four rows a device."""
    model = values.get("model")
    width = model.get("width", 0) if isinstance(model, ConfigDict) else 0
    most = min(topology.slice_devices, (width or 1024) // LEAST_ROWS)
    found: Vary = [("mesh.fsdp", [size for size in (8, 16, 32, 64, 128) if size <= most and not topology.slice_devices % size])]
    if isinstance(model, ConfigDict) and "remat" in model:
        found.append(("model.remat", [True, False]))
        if "remat_keep" in model:
            found.append(("model.remat_keep", ["nothing", "attention", "products", "both"]))
    if key := ROWS.get(values.stage):
        found.append((key, [topology.devices * rows for rows in (1, 2, 4)]))
    return [(key, options) for key, options in found if options]


def choices(wanted: Vary) -> Iterator[dict[str, Any]]:
    """Every combination that is another program."""
    keys = [key for key, _ in wanted]
    for values in itertools.product(*(options for _, options in wanted)):
        choice = dict(zip(keys, values, strict=True))
        # Without recomputation it does not matter what that would keep.
        if choice.get("model.remat", True) or choice.get("model.remat_keep", "nothing") == "nothing":
            yield choice


def with_choice(values: ConfigDict, choice: dict[str, Any]) -> ConfigDict:
    """A copy of a config with other values.

    Raises:
      InputError: it has no such key.
    """
    chosen = values.copy_and_resolve_references()
    for key, value in choice.items():
        *path, last = key.split(".")
        group = chosen
        for name in path:
            group = group.get(name) if isinstance(group, ConfigDict) else None
        if not isinstance(group, ConfigDict) or last not in group:
            raise InputError(f"--vary: the config has no key '{key}'")
        group[last] = value
    return chosen


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
