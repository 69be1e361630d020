"""What one device of each kind can do at most: arithmetic, memory, and the networks that it hangs on."""

import dataclasses

from ugf_jax.errors import InputError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """Figures of one JAX device, in bytes, bytes a second and operations a second.

    Attributes:
      kind: as in `--topology`.
      memory: of the device (HBM), all of it; what the runtime keeps for itself is part of the tenth that a plan leaves free.
      flops: bf16 operations a second.
      memory_bandwidth: of HBM.
      link: one direction of one link to a neighbour (TPU), or of all links of a device together (NVLink).
      network: a device's share of what its host can send to other slices (TPU) or nodes (NVIDIA).
      per_host: devices of a host, in slices with several hosts (see `Topology.host_devices`).
      clock: cycles a second, as the compiler counts them (TPU); see `timing`.
      per_package: JAX devices of what is sold as one chip.
      pod: most devices of one slice; 0 where there are no slices.
    """

    kind: str
    memory: float
    flops: float
    memory_bandwidth: float
    link: float
    network: float
    per_host: int
    clock: float = 0.0
    per_package: int = 1
    pod: int = 0

    @property
    def tpu(self) -> bool:
        """Whether there is a compiler for it that needs no such device."""
        return self.clock > 0


# TPU: docs.cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e,tpu7x}. Their "bidirectional ICI bandwidth per chip" counts both
# directions of all links (six on v4, v5p and tpu7x, four on v5e and v6e). The network of the data centre is given per pod or
# per chip. A chip of tpu7x is two JAX devices, each with half of everything. Clocks are the peak over the products a cycle.
# NVIDIA: data sheets of A100 80GB SXM, H100 SXM, H200 SXM and B200, dense figures; one 200 or 400 Gb/s adapter a device.
_CHIPS = (
    Chip("v4", 32 * GIB, 275e12, 1228e9, 50e9, 6.25e9, 4, 1.049e9, pod=4096),
    Chip("v5e", 16 * GIB, 197e12, 819e9, 50e9, 3.125e9, 4, 1.503e9, pod=256),
    Chip("v5p", 95 * GIB, 459e12, 2765e9, 100e9, 6.25e9, 4, 1.751e9, pod=6144),
    Chip("v6e", 32 * GIB, 918e12, 1640e9, 100e9, 12.5e9, 4, 1.751e9, pod=256),
    Chip("tpu7x", 96 * GIB, 1153.5e12, 3690e9, 50e9, 6.25e9, 8, 2.2e9, per_package=2, pod=18432),
    Chip("a100", 80e9, 312e12, 2039e9, 300e9, 25e9, 8),
    Chip("h100", 80e9, 989e12, 3350e9, 450e9, 50e9, 8),
    Chip("h200", 141e9, 989e12, 4800e9, 450e9, 50e9, 8),
    Chip("b200", 180e9, 2250e12, 8000e9, 900e9, 50e9, 8),
)
KINDS = {chip.kind: chip for chip in _CHIPS}


def find_chip(kind: str) -> Chip:
    """The figures of a kind.

    Raises:
      InputError: there is none of this name.
    """
    if kind not in KINDS:
        raise InputError(f"--topology: '{kind}' is no kind of device; want one of {', '.join(KINDS)}")
    return KINDS[kind]
