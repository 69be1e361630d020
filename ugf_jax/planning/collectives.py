"""What devices send each other in a step: which collectives, over which mesh axes, how many bytes, on which network."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ugf_jax.planning.hlo import Instruction, Program, arrays_of

KINDS = ("all-gather", "reduce-scatter", "all-reduce", "all-to-all", "collective-permute")
SCATTERING = "all-reduce-scatter"  # how the compiler names an all-reduce of which each device keeps a part
_KIND = re.compile(rf"^(?:ragged-)?({'|'.join(KINDS)})(-start)?$")
_BETWEEN_SLICES = {"ALL_REDUCE": "all-reduce", "ALL_GATHER": "all-gather", "REDUCE_SCATTER": "reduce-scatter"}
_BETWEEN_SLICES |= {"ALL_TO_ALL": "all-to-all", "ONE_TO_ONE": "collective-permute"}
_MESH_GROUPS = re.compile(r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))? \{([^}]*)\}")
_IOTA_GROUPS = re.compile(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_LISTED_GROUPS = re.compile(r"replica_groups=\{(\{[\d,{}]*\})\}")
_PAIRS = re.compile(r"source_target_pairs=\{(\{[\d,{}]*\})\}")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of a program, on one device.

    Attributes:
      kind: one of `KINDS`.
      axes: mesh axes that it runs over.
      network: "ici" within a slice, "dcn" between slices.
      group: devices that take part in it together.
      size: bytes of the whole array: what an all-gather gives, what a reduce-scatter takes, what an all-reduce sums.
      times: how often it runs in a step.
      source: the JAX operation that it stems from.
      hidden: it runs beside arithmetic.
      largest: bytes of the largest array in it (several may be joined into one).
      computation: of the program's text, where it runs.
      members: numbers in the mesh's order of one of its groups.
      shape: of the largest array.
    """

    kind: str
    axes: tuple[str, ...]
    network: str
    group: int
    size: float
    times: int
    source: str
    hidden: bool
    largest: float
    computation: str
    members: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def bytes(self) -> float:
        """Bytes of whole arrays a step."""
        return self.size * self.times

    @property
    def sent(self) -> float:
        """Bytes that a device sends in a step, by the best known algorithms on a ring."""
        share = (self.group - 1) / self.group if self.group > 1 else 0.0
        factor = {"all-reduce": 2 * share, "all-to-all": share, "collective-permute": 1.0}.get(self.kind, share)
        return factor * self.bytes


def find_collectives(program: Program, mesh: Mapping[str, int], slices: int = 1) -> list[Collective]:
    """The collectives of a program.

    An operation that is spread over several others is written several times with one channel, and counts once: as often as the
    piece that runs least, for one that is begun before a loop, carried on in it and ended behind it runs once.

    Args:
      program: compiled for one device a place of the mesh, in the mesh's order.
      mesh: sizes of the mesh axes by name, slowest first.
      slices: of equal size; a group that leaves a slice uses the network between them.
    """
    hosts = _callers(program)
    found: dict[tuple[str, str], Collective] = {}
    for computation, one, times in program.instructions(fused=True):
        match = _KIND.match(one.opcode)
        if not match and not (one.opcode == "send" and "_xla_megascale_transfer_type" in one.rest):
            continue
        where = hosts.get(computation, computation)
        made = _collective(one, match[1] if match else "", where, times, mesh, slices)
        if made is None:
            continue
        if SCATTERING in computation and made.kind == "all-reduce":
            made = dataclasses.replace(made, kind="reduce-scatter")
        hidden = bool(match and match[2]) or not match or ("async_collective" in one.rest and computation != where)
        hidden = hidden and SCATTERING not in computation
        made = dataclasses.replace(made, hidden=hidden)
        key = made.kind, _identity(one, computation, where, slices)
        before = found.setdefault(key, made)
        least, most = min(before, made, key=lambda c: c.times), max(before, made, key=lambda c: c.size)
        found[key] = dataclasses.replace(
            most, times=least.times, computation=least.computation, hidden=before.hidden or made.hidden
        )
    return list(found.values())


def _identity(one: Instruction, computation: str, where: str, slices: int) -> str:
    """The same for all pieces of one collective: its channel, shape and groups.

    Collectives of `shard_map` share one channel, and programs for several slices have one for all. What stands alone and waits
    is in one piece.
    """
    channel = one.attribute(r"channel_id=(\d+)")
    waits = computation == where and one.opcode in ("all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
    if channel is None or one.opcode == "send" or waits or SCATTERING in computation:
        return f"{computation}/{one.name}"
    alike = f"{one.shape.partition('{')[0]}/{one.attribute('replica_groups=([^ ]*)')}"
    return f"{channel}/{alike}" if slices == 1 else f"{where}/{one.source or one.name}/{alike}"


def _callers(program: Program) -> dict[str, str]:
    """For each fused computation, the one of which it is a part when it runs."""
    found: dict[str, str] = {}

    def walk(name: str, host: str) -> None:
        for one in program.computations.get(name, []):
            if one.opcode in ("fusion", "async-start"):
                for called, _ in program.calls(one, fused=True):
                    found[called] = host
                    walk(called, host)

    for name in program.runs():
        walk(name, name)
    return found


def _collective(
    one: Instruction, kind: str, computation: str, times: int, mesh: Mapping[str, int], slices: int
) -> Collective | None:
    sizes = [size * math.prod(dimensions) for size, dimensions in one.arrays]
    if not kind:  # a transfer between slices, which the hosts carry out
        kind = _BETWEEN_SLICES.get(one.attribute(r'_xla_megascale_transfer_type="?(\w+)') or "", "all-reduce")
        sizes = [s * math.prod(d) for s, d in arrays_of(one.shape) if d]
        return Collective(kind, ("data",), "dcn", slices, max(sizes, default=0.0), times, one.source, True, 0.0, computation)
    groups = groups_of(one.rest, math.prod(mesh.values()))
    if groups is None or groups.shape[1] < 2:
        return None
    if one.opcode.endswith("-start"):  # operands, then results, then what tells that it is done
        sizes = _results(sizes) if kind != "all-reduce" else sizes
    size = sum(sizes) * (groups.shape[1] if kind == "reduce-scatter" else 1)
    axes, crosses = spanned(groups, mesh, slices)
    return Collective(
        kind,
        axes,
        "dcn" if crosses else "ici",
        groups.shape[1],
        size,
        times,
        one.source,
        False,
        max(sizes),
        computation,
        tuple(groups[0].tolist()),
        max(one.arrays, key=lambda array: array[0] * math.prod(array[1]))[1],
    )


def _results(sizes: Sequence[float]) -> list[float]:
    large = [size for size in sizes if size > 8]
    return list(large[len(large) // 2 :])


def groups_of(text: str, devices: int) -> np.ndarray | None:
    """Which devices act together, int `[groups, members]`, from an instruction's attributes; None where it does not say."""
    if match := _MESH_GROUPS.search(text):
        return _mesh_groups(match)
    if match := _IOTA_GROUPS.search(text):
        shape, source = _integers(match[1]), _integers(match[2])
        numbers = np.arange(math.prod(source)).reshape(source)
        if match[3]:
            numbers = numbers.transpose(_integers(match[3]))
        return numbers.reshape(shape)
    if match := _LISTED_GROUPS.search(text):
        return np.array([_integers(group) for group in re.findall(r"\{([\d,]+)\}", match[1])])
    if match := _PAIRS.search(text):
        return np.array([_integers(pair) for pair in re.findall(r"\{([\d,]+)\}", match[1])])
    return np.arange(devices)[None] if "replica_groups={}" in text else None


def _mesh_groups(match: re.Match[str]) -> np.ndarray:
    axes = dict(re.findall(r"'([^']+)'=(\d+)", match[1]))
    shape = [int(size) for size in axes.values()]
    numbers = np.arange(math.prod(shape))
    if match[2]:
        numbers = numbers.reshape(_integers(match[2]))
        numbers = numbers.transpose(_integers(match[3])) if match[3] else numbers
    numbers = numbers.reshape(shape)
    together = [list(axes).index(name) for name in re.findall(r"'([^']+)'", match[4])]
    apart = [i for i in range(len(shape)) if i not in together]
    return numbers.transpose([*apart, *together]).reshape(-1, math.prod(shape[i] for i in together))


def spanned(groups: np.ndarray, mesh: Mapping[str, int], slices: int) -> tuple[tuple[str, ...], bool]:
    """Mesh axes along which members of a group differ, and whether any group leaves its slice."""
    places = np.stack(np.unravel_index(groups, tuple(mesh.values())))  # [axes, groups, members]
    differ = (places != places[:, :, :1]).any(axis=(1, 2))
    per_slice = math.prod(mesh.values()) // slices
    slice_of = groups // per_slice  # slices are the slowest part of the first axis
    return tuple(name for name, d in zip(mesh, differ, strict=True) if d), bool((slice_of != slice_of[:, :1]).any())


def summed(collectives: Sequence[Collective]) -> list[dict[str, Any]]:
    """Bytes a step and device by network, axes and kind, most first."""
    rows: dict[tuple[str, tuple[str, ...], str], dict[str, Any]] = {}
    for one in collectives:
        row = rows.setdefault(
            (one.network, one.axes, one.kind),
            {"network": one.network, "axes": list(one.axes), "kind": one.kind, "operations": 0, "bytes": 0.0, "sent": 0.0},
        )
        row["operations"] += 1
        row["bytes"] += one.bytes
        row["sent"] += one.sent
    return sorted(rows.values(), key=lambda row: -row["bytes"])


def _integers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]
