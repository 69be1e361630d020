"""Mesh and sharding: parameters get logical axis names by path, one table maps the names to mesh axes.

Modules know nothing of this. A stage lists `(path pattern, logical axes)` for its parameters; the config's rules say which
mesh axis each logical axis is split over. Whatever is not decided exactly once is an error, because a parameter that is
replicated by oversight costs memory on every chip and nobody notices.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ugf_jax import config
from ugf_jax.errors import InputError

AXES = ("data", "fsdp", "tensor")
BATCH = P(("data", "fsdp"))

# One row per kind of parameter: (pattern that its path ends with, logical name of each dimension, or names).
Dimension = str | tuple[str, ...] | None
ParameterAxes = Sequence[tuple[str, tuple[Dimension, ...]]]


@dataclasses.dataclass(frozen=True)
class MeshSettings:
    """Devices along each mesh axis; one of them may be -1, which takes the devices that are left."""

    data: int = config.setting(-1, ("at least 1, or -1 for the rest", lambda n: n >= 1 or n == -1))
    fsdp: int = config.setting(1, ("at least 1, or -1 for the rest", lambda n: n >= 1 or n == -1))
    tensor: int = config.setting(1, ("at least 1, or -1 for the rest", lambda n: n >= 1 or n == -1))
    rules: dict[str, str | None] = config.setting(
        {"embed": "fsdp", "mlp": "tensor", "heads": "tensor", "codes": "tensor", "vocabulary": "tensor"}
    )

    def validate(self, path: str) -> None:
        """Refuses two free axes and rules that name no mesh axis."""
        if [self.data, self.fsdp, self.tensor].count(-1) > 1:
            raise InputError(f"{path}: only one of data, fsdp, tensor may be -1")
        for name, axis in self.rules.items():
            if axis is not None and axis not in AXES:
                raise InputError(f"{path}.rules.{name} is '{axis}'; want one of {', '.join(AXES)} or None")


def make_mesh(settings: MeshSettings, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh `(data, fsdp, tensor)` over `devices` (default: all).

    Neighbours in the mesh are neighbours on the network. Several slices of TPU are joined along `data` alone, its slowest
    part: between them pass gradients, once a step.

    Raises:
      InputError: the axes do not multiply to the number of devices, or slices do not divide `data`.
    """
    devices = jax.devices() if devices is None else list(devices)
    shape = mesh_shape(settings, len(devices))
    return Mesh(_placed(shape, devices), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def mesh_shape(settings: MeshSettings, devices: int) -> list[int]:
    """Devices along each of `AXES`.

    Raises:
      InputError: they do not multiply to the number of devices.
    """
    shape = [settings.data, settings.fsdp, settings.tensor]
    if -1 in shape:
        known = -int(np.prod(shape))
        shape[shape.index(-1)] = max(devices // known, 1)
    if int(np.prod(shape)) != devices:
        sizes = " x ".join(f"{a} {n}" for a, n in zip(AXES, shape, strict=True))
        raise InputError(f"config.mesh: {sizes} needs {int(np.prod(shape))} devices; there are {devices}")
    return shape


def _placed(shape: list[int], devices: list[jax.Device]) -> np.ndarray:
    slices = len({getattr(d, "slice_index", 0) for d in devices}) if devices[0].platform == "tpu" else 1
    if slices == 1:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    if shape[0] % slices:
        raise InputError(f"config.mesh.data is {shape[0]}; want a multiple of the {slices} slices, which only it may span")
    inside = [shape[0] // slices, *shape[1:]]
    return mesh_utils.create_hybrid_device_mesh(inside, [slices, 1, 1], devices, allow_split_physical_axes=True)


def path_name(path: Sequence[Any]) -> str:
    """`('params', 'master', 'kernel')` as jax gives it → `params/master/kernel`."""
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


def partition_spec(name: str, shape: tuple[int, ...], axes: ParameterAxes, rules: Mapping[str, str | None], mesh: Mesh) -> P:
    """The partition of one array, from its path.

    A dimension that its mesh axis does not divide stays whole: small projections (say, to five code channels) always do. One
    with several names is split over the axis of the first, and each part over that of the next, as far as they divide it.

    Raises:
      ValueError: no pattern or several patterns match, the pattern has another number of dimensions, or two dimensions
        want the same mesh axis.
    """
    if not shape:
        return P()
    matches = [(pattern, names) for pattern, names in axes if re.search(rf"(^|/){pattern}$", name)]
    if len(matches) != 1:
        found = "no row" if not matches else "rows " + ", ".join(repr(p) for p, _ in matches)
        raise ValueError(f"parameter {name} {shape}: {found} of the parameter-axes table match; want exactly one")
    pattern, names = matches[0]
    if len(names) != len(shape):
        raise ValueError(f"parameter {name} {shape}: row {pattern!r} names {len(names)} dimensions {names}")
    named = [n if isinstance(n, tuple) else () if n is None else (n,) for n in names]
    unknown = [n for n in itertools.chain(*named) if n not in rules]
    if unknown:
        raise ValueError(
            f"parameter {name}: no sharding rule for logical axis {unknown[0]!r}; config.mesh.rules has {list(rules)}"
        )
    wanted = [[axis for n in own if (axis := rules[n])] for own in named]
    used = list(itertools.chain(*wanted))
    if len(used) != len(set(used)):
        raise ValueError(f"parameter {name}: dimensions {names} collide on one mesh axis ({wanted})")
    return P(*(_dividing(size, own, mesh) for own, size in zip(wanted, shape, strict=True)))


def _dividing(size: int, axes: Sequence[str], mesh: Mesh) -> str | tuple[str, ...] | None:
    """Those of the axes that divide a dimension, one within the other."""
    found: tuple[str, ...] = ()
    for axis in axes:
        if mesh.shape[axis] > 1 or len(axes) == 1:
            found += (axis,) if size % math.prod(mesh.shape[a] for a in (*found, axis)) == 0 else ()
    return found if len(found) > 1 else found[0] if found else None


def tree_shardings(tree: Any, axes: ParameterAxes, rules: Mapping[str, str | None], mesh: Mesh) -> Any:
    """A `NamedSharding` for every array of `tree` (arrays or `ShapeDtypeStruct`s).

    Optimizer state and averages are laid out like the parameters they belong to, because their paths end the same way.
    """

    def one(path: Sequence[Any], leaf: Any) -> NamedSharding:
        return NamedSharding(mesh, partition_spec(path_name(path), leaf.shape, axes, rules, mesh))

    return jax.tree_util.tree_map_with_path(one, tree)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Batches are split over `data` and `fsdp` along their first dimension."""
    return NamedSharding(mesh, BATCH)


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device, so that each process can read it."""
    return NamedSharding(mesh, P())


def to_global(arrays: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Joins every process's slice of a batch into global arrays `[global batch, …]`."""
    sharding = batch_sharding(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in arrays.items()}
