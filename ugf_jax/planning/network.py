"""How fast a group of devices of a slice can send, from where they lie on its torus."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ugf_jax.planning.collectives import Collective
from ugf_jax.planning.topology import Topology


def bandwidths(topology: Topology, devices: Iterable[Any]) -> Callable[[Collective], float]:
    """Bytes a second that a device sends in a collective.

    Within a slice a group forms rings along each axis of the torus that it spans: along a whole axis that wraps around both
    directions are used, along a part of one only one.

    Args:
      topology: of the devices.
      devices: in the order of the mesh.
    """
    places = np.array([device.coords for device in devices])

    def rate(collective: Collective) -> float:
        if collective.network == "dcn":
            return topology.chip.network
        return topology.chip.link * max(links(places[list(collective.members)], topology), 1)

    return rate


def links(places: np.ndarray, topology: Topology) -> int:
    """Links, counted in one direction, by which a group sends.

    Args:
      places: int `[members, axes]`, coordinates on the torus.
      topology: whose torus it is.
    """
    found = 0
    for axis, size in enumerate(topology.shape):
        spanned = len(np.unique(places[:, axis]))
        if spanned > 1:
            found += 2 if spanned == size and wraps(topology, size) else 1
    return found


def wraps(topology: Topology, size: int) -> bool:
    """Whether an axis of this size is a ring: whole pods of v5e and v6e, cubes of 4 of the others."""
    return size == 16 if len(topology.shape) == 2 else size % 4 == 0
