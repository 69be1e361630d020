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
      link: of one direction of one link to a neighbour (TPU), or of one direction of all links together (NVIDIA's NVLink).
      links: neighbours along each axis of a torus are two; a ring around one axis uses both. 1 where every device reaches
        every other of its node at the full rate.
      host_network: a device's share of what its host can send to other slices (TPU) or nodes (NVIDIA).
      per_host: devices of a host.
      per_package: JAX devices of what is sold as one chip.
      pod: most devices of one slice; 0 where slices are no notion.
      matmul: share of `flops` that large products of matrices reach, as measured or published; the rest is pipeline.
    """

    kind: str
    memory: float
    flops: float
    memory_bandwidth: float
    link: float
    links: int
    host_network: float
    per_host: int
    per_package: int = 1
    pod: int = 0
    tpu: bool = True


# TPU: docs.cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e,tpu7x}. Their "bidirectional ICI bandwidth per chip" counts both
# directions of all links (six on v4, v5p and tpu7x, four on v5e and v6e). The network of data centres is given per pod or per
# chip. A chip of tpu7x is two JAX devices, each with half of everything.
# NVIDIA: data sheets of A100 80GB SXM, H100 SXM, H200 SXM and B200, dense figures; one 200 or 400 Gb/s adapter a device.
_CHIPS = (
    Chip("v4", 32 * GIB, 275e12, 1228e9, 50e9, 2, 6.25e9, 4, pod=4096),
    Chip("v5e", 16 * GIB, 197e12, 819e9, 50e9, 2, 3.125e9, 8, pod=256),
    Chip("v5p", 95 * GIB, 459e12, 2765e9, 100e9, 2, 6.25e9, 4, pod=6144),
    Chip("v6e", 32 * GIB, 918e12, 1640e9, 100e9, 2, 12.5e9, 8, pod=256),
    Chip("tpu7x", 96 * GIB, 1153.5e12, 3690e9, 50e9, 2, 6.25e9, 8, per_package=2, pod=18432),
    Chip("a100", 80e9, 312e12, 2039e9, 300e9, 1, 25e9, 8, tpu=False),
    Chip("h100", 80e9, 989e12, 3350e9, 450e9, 1, 50e9, 8, tpu=False),
    Chip("h200", 141e9, 989e12, 4800e9, 450e9, 1, 50e9, 8, tpu=False),
    Chip("b200", 180e9, 2250e12, 8000e9, 900e9, 1, 50e9, 8, tpu=False),
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
