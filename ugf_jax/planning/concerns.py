"""What is wrong with a layout, named by its cause: each concern says which parameter, axis or operation it is about."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from ugf_jax.planning.collectives import Collective
from ugf_jax.planning.memory import FREE
from ugf_jax.planning.timing import Timing
from ugf_jax.training.sharding import path_name

LEAST_ROWS = 32  # of a shard: below, devices send more than they compute
LARGE = 1 << 20  # entries from which it matters that a parameter lies whole on every device
WAITING = 0.2  # of the time


def layout_concerns(params: Any, mesh: Mapping[str, int]) -> list[str]:
    """About how parameters (abstract, with shardings) are split."""
    thin: dict[str, tuple[int, str, int]] = {}
    whole = []
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        name, shard = path_name(path), x.sharding.shard_shape(x.shape)
        for size, part in zip(x.shape, shard, strict=True):
            if part < size and part < LEAST_ROWS:
                axis = next((a for a, n in mesh.items() if n == size // part), "fsdp")
                before = thin.get(axis)
                thin[axis] = (part, name, 1) if before is None else (min(before[0], part), before[1], before[2] + 1)
        if shard == x.shape and math.prod(x.shape) >= LARGE and mesh["fsdp"] * mesh["tensor"] > 1:
            whole.append(f"{name} {x.shape}")
    found = [
        f"{part} rows a shard of {name}{f' and {count - 1} others' if count > 1 else ''}, fewer than {LEAST_ROWS}: "
        f"config.mesh.{axis} is {mesh[axis]}; want it smaller, and more of config.mesh.data"
        for axis, (part, name, count) in thin.items()
    ]
    if whole:
        found.append(
            f"whole on every device: {', '.join(whole[:3])}{f' and {len(whole) - 3} more' if len(whole) > 3 else ''}; "
            "config.mesh.fsdp divides none of their split dimensions, or config.mesh.rules leave them out"
        )
    return found


def gradient_concerns(params: Any, collectives: Sequence[Collective]) -> list[str]:
    """About gradients that are summed whole over `fsdp`, where each device needs only its part of them."""
    names: dict[tuple[int, ...], str] = {}
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        if x.sharding.shard_shape(x.shape) != x.shape:
            for shape in (x.shape, x.shape[1:]):  # of all scanned layers, or of one
                if math.prod(shape) >= 1 << 14:
                    names[_dimensions(shape)] = path_name(path)
    summed: dict[tuple[str, tuple[str, ...]], list[Collective]] = {}
    for one in collectives:
        if "jvp(" in one.source and "transpose(" not in one.source:
            continue  # of the forward pass, and shaped like a gradient by chance
        name = names.get(_dimensions(one.shape))
        if one.kind == "all-reduce" and "fsdp" in one.axes and name:
            summed.setdefault((name, one.axes), []).append(one)
    found = [
        f"the whole gradient of {name} ({max(one.largest for one in ones) / 1e6:.0f} MB) is all-reduced over "
        f"{' x '.join(axes)}, {sum(one.times for one in ones)} times a step, where a reduce-scatter was meant "
        f"({_short(next((one.source for one in ones if one.source), ''))})"
        for (name, axes), ones in summed.items()
    ]
    mesh = jax.tree.leaves(params)[0].sharding.mesh
    if any(axes == ("fsdp",) for _, axes in summed) and mesh.shape["fsdp"] == _slice_devices(mesh):
        found.append(
            f"config.mesh.fsdp is {mesh.shape['fsdp']}, a whole slice: there the compiler for TPU sums what it should scatter, "
            "and what it should gather where the slice is large; want it smaller, and more of config.mesh.data"
        )
    return found


def _slice_devices(mesh: jax.sharding.Mesh) -> int:
    return mesh.size // len({getattr(device, "slice_index", 0) for device in mesh.devices.flat})


def _dimensions(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape whatever the order of its dimensions."""
    return tuple(sorted(size for size in shape if size > 1))


def memory_concerns(total: float, room: float) -> list[str]:
    """About what does not fit, or hardly."""
    if total <= FREE * room:
        return []
    verb = "does not fit" if total > room else f"leaves less than a tenth of {room / 2**30:.0f} GiB free"
    advice = "fewer rows a device, model.remat, or a larger mesh.fsdp"
    return [f"{total / 2**30:.1f} GiB a device {verb}; want {advice}"]


def network_concerns(timing: Timing, collectives: Sequence[Collective], gradient: float) -> list[str]:
    """About waiting for the network, and about what passes between slices beyond a device's gradients (bytes)."""
    found = []
    if timing.waiting > WAITING * timing.total:
        worst = max((c for c in collectives if not c.hidden), key=lambda c: c.sent, default=None)
        cause = f"; most is {worst.kind} over {' x '.join(worst.axes)} ({_short(worst.source)})" if worst else ""
        found.append(f"{timing.waiting / timing.total:.0%} of the time is waiting for the network{cause}")
    between = sum(c.bytes for c in collectives if c.network == "dcn")
    if between > 1.1 * gradient:
        largest = max((c for c in collectives if c.network == "dcn"), key=lambda c: c.bytes)
        found.append(
            f"{between / 1e6:.0f} MB a device pass between slices, {between / gradient:.1f} times its gradients; "
            f"the largest is {largest.kind} ({_short(largest.source)})"
        )
    return found


def _short(source: str) -> str:
    return "/".join(source.split("/")[-4:]) if source else "joined by the compiler"
