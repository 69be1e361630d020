"""Which devices a plan is for: `v5p:8x8x8` is a slice of TPU, `h100:16x8` sixteen nodes of eight GPUs."""

import dataclasses
import importlib.util
import math
import os
import re
from typing import Any

from ugf_jax.errors import InputError
from ugf_jax.planning.chips import Chip, find_chip

EXAMPLE = "want KIND:SHAPE, such as v5p:8x8x8, v5e:16x16 or h100:16x8 (nodes x GPUs of a node)"
ALONE = 8  # chips of the largest host of v5e and v6e, which is a slice of its own
# What keeps the compiler for TPU from looking for a TPU, on this machine and in the cloud.
_OFFLINE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices of one kind, in one or several equal slices.

    Attributes:
      chip: the kind.
      shape: of a slice, in packages: a torus of two or three axes; (nodes, GPUs of a node) for NVIDIA.
      slices: joined by the network of the data centre.
    """

    chip: Chip
    shape: tuple[int, ...]
    slices: int = 1

    def __str__(self) -> str:
        name = f"{self.chip.kind}:{'x'.join(map(str, self.shape))}"
        return name if self.slices == 1 else f"{self.slices} x {name}"

    @property
    def slice_devices(self) -> int:
        """JAX devices of one slice."""
        return math.prod(self.shape) * self.chip.per_package

    @property
    def devices(self) -> int:
        """JAX devices of all slices."""
        return self.slices * self.slice_devices

    @property
    def hosts(self) -> int:
        """Machines that must be fed."""
        return self.slices * max(self.slice_devices // self.host_devices, 1)

    @property
    def host_devices(self) -> int:
        """JAX devices of one host; a slice of up to eight chips wired in a plane has one host only."""
        if not self.chip.tpu:
            return self.shape[1]
        alone = len(self.shape) == 2 and self.slice_devices <= ALONE
        return self.slice_devices if alone else self.chip.per_host


def parse_topology(text: str, slices: int = 1) -> Topology:
    """The topology that a flag names.

    Raises:
      InputError: no such kind or shape.
    """
    match = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", text or "")
    if not match:
        raise InputError(f"--topology is '{text}'; {EXAMPLE}")
    chip = find_chip(match[1])
    shape = tuple(int(size) for size in match[2].split("x"))
    if slices < 1:
        raise InputError(f"--slices is {slices}; want at least 1")
    axes = 2 if chip.kind in ("v5e", "v6e") or not chip.tpu else 3
    if len(shape) != axes or min(shape) < 1:
        raise InputError(f"--topology is '{text}'; {chip.kind} has {axes} axes: {EXAMPLE}")
    if chip.pod and math.prod(shape) * chip.per_package > chip.pod:
        raise InputError(f"--topology is '{text}': {math.prod(shape)} chips; a slice of {chip.kind} has at most {chip.pod}")
    if not chip.tpu and slices > 1:
        raise InputError(f"--slices is {slices}; slices are those of TPU: want more nodes in --topology")
    found = Topology(chip, shape, slices)
    if chip.tpu and found.slice_devices > found.host_devices and found.slice_devices % found.host_devices:
        raise InputError(
            f"--topology is '{text}': {found.slice_devices} devices are no whole hosts of {found.host_devices}; {EXAMPLE}"
        )
    return found


def check_compiler() -> None:
    """Raises an `InputError` unless the compiler for TPU is installed."""
    if importlib.util.find_spec("libtpu") is None:
        raise InputError('--topology: compiling for TPU needs libtpu; want pip install "ugf-jax[plan]"')


def described_devices(topology: Topology) -> list[Any]:
    """JAX devices of TPU slices that are not there: enough to compile for.

    Raises:
      InputError: the compiler is not installed or knows no such topology.
    """
    check_compiler()
    for name, value in _OFFLINE.items():
        os.environ.setdefault(name, value)
    import jax
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_compilation_cache", False)  # what is compiled for other devices cannot be read back
    name = f"{topology.chip.kind}:{'x'.join(map(str, topology.shape))}"
    more: dict[str, Any] = {"num_slices": topology.slices} if topology.slices > 1 else {}
    if topology.chip.kind == "v4":
        more["chip_config_name"] = "megacore"  # both cores of a chip as one device, as on Cloud TPU
    try:
        return list(topologies.get_topology_desc(name, "tpu", **more).devices)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise InputError(f"--topology: the compiler knows no {topology} ({' '.join(str(error).split())[:200]})") from error
