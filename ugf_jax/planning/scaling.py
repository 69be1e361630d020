"""Weak scaling: the time of a step on more and fewer devices at the same rows a device, from one compiled program."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from ugf_jax.errors import InputError
from ugf_jax.planning.chips import Chip
from ugf_jax.planning.collectives import Collective
from ugf_jax.planning.hlo import Program
from ugf_jax.planning.timing import estimate


def weak_scaling(
    program: Program,
    collectives: Sequence[Collective],
    chip: Chip,
    bandwidth: Callable[[Collective], float],
    mesh: Mapping[str, int],
    sizes: Sequence[int],
) -> dict[int, float]:
    """Seconds of a step by number of devices.

    More devices are more of `data`: each does what it did, and only what is summed over `data` passes through longer rings.

    Args:
      program: compiled for `mesh`.
      collectives: of the program.
      chip: that it is compiled for.
      bandwidth: see `timing.estimate`.
      mesh: sizes of its axes.
      sizes: numbers of devices.

    Raises:
      InputError: a number that is no multiple of what the other axes take.
    """
    inner = mesh["fsdp"] * mesh["tensor"]
    found = {}
    for size in sizes:
        if size % inner:
            raise InputError(f"--scaling: {size} devices are no multiple of fsdp x tensor, {inner}")
        changed = [with_data(one, mesh["data"], size // inner) for one in collectives]
        found[size] = estimate(program, [one for one in changed if one is not None], chip, bandwidth).total
    return found


def with_data(one: Collective, before: int, after: int) -> Collective | None:
    """A collective on another size of the axis `data`; None where nobody is left to send to."""
    if "data" not in one.axes or one.kind == "collective-permute" or one.network == "dcn":
        return one
    group = one.group * after // before
    # What is gathered over `data` grows with it; what is summed does not.
    size = one.size if one.kind == "all-reduce" else one.size * group / one.group
    return dataclasses.replace(one, group=group, size=size) if group > 1 else None
