"""TPU slices: how many chips and hosts a topology has and what each service calls it. The one table of hardware here.

Sources: Google Cloud's pages "TPU versions" and "Plan TPUs in GKE".
"""

import dataclasses
import math

from ugf_jax.errors import InputError

FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))  # every slice of a generation wired in a plane
SMALL = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))  # below a cube of 4×4×4, for those wired in space


@dataclasses.dataclass(frozen=True)
class Generation:
    """One kind of TPU.

    Attributes:
      node: value of GKE's label `cloud.google.com/gke-tpu-accelerator`.
      prefix: of the accelerator types of the Cloud TPU API, e.g. `v5p` of `v5p-128`; None where only GKE has it.
      runtime: software version of Cloud TPU VMs.
      units: what the number in the accelerator type counts a chip: its TensorCores, or 1.
      devices: JAX devices a chip.
      flat: wired in a plane (two numbers), else in space (three).
      most: chips of the largest slice.
      ordered: dimensions must not decrease.
    """

    node: str
    prefix: str | None
    runtime: str
    units: int
    devices: int
    flat: bool
    most: int
    ordered: bool = False


GENERATIONS = {
    "v4": Generation("tpu-v4-podslice", "v4", "tpu-ubuntu2204-base", 2, 1, False, 4096),
    "v5e": Generation("tpu-v5-lite-podslice", "v5litepod", "v2-alpha-tpuv5-lite", 1, 1, True, 256),
    "v5p": Generation("tpu-v5p-slice", "v5p", "v2-alpha-tpuv5", 2, 1, False, 6144, ordered=True),
    "v6e": Generation("tpu-v6e-slice", "v6e", "v2-alpha-tpuv6e", 1, 1, True, 256),
    "tpu7x": Generation("tpu7x", None, "", 2, 2, False, 9216, ordered=True),
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """A slice of TPU chips, e.g. `v5p:8x8x8`."""

    name: str
    shape: tuple[int, ...]

    @property
    def generation(self) -> Generation:
        """Its kind."""
        return GENERATIONS[self.name]

    @property
    def topology(self) -> str:
        """As services write it: `8x8x8`."""
        return "x".join(map(str, self.shape))

    @property
    def chips(self) -> int:
        """Chips of the slice."""
        return math.prod(self.shape)

    @property
    def chips_per_host(self) -> int:
        """Four, but for slices that fit one host."""
        return self.chips // self.hosts

    @property
    def hosts(self) -> int:
        """Hosts of the slice; one process runs on each."""
        alone = 8 if self.generation.flat else 4
        return 1 if self.chips <= alone else self.chips // 4

    @property
    def devices(self) -> int:
        """JAX devices of the slice."""
        return self.chips * self.generation.devices

    @property
    def accelerator_type(self) -> str:
        """What the Cloud TPU API calls it: `v5p-1024`. In space the shape is not part of it."""
        return f"{self.generation.prefix}-{self.chips * self.generation.units}"

    def __str__(self) -> str:
        """`v5p:8x8x8`."""
        return f"{self.name}:{self.topology}"


def parse(text: str) -> Slice:
    """The slice that `GENERATION:AxB` or `GENERATION:AxBxC` names.

    Raises:
      InputError: there is no such slice; the message says which there are.
    """
    name, colon, numbers = text.partition(":")
    if name not in GENERATIONS or not colon:
        raise InputError(f"--topology is '{text}'; want {' or '.join(GENERATIONS)} and a shape, for example v5p:8x8x8")
    shape = tuple(int(n) if n.isascii() and n.isdecimal() else 0 for n in numbers.split("x"))
    kind = GENERATIONS[name]
    if kind.flat:
        if shape not in FLAT:
            raise InputError(f"--topology is '{text}'; {name} has " + ", ".join("x".join(map(str, s)) for s in FLAT))
    elif not _in_space(name, shape):
        order = ", each at least as large as the one before" if kind.ordered else ""
        small = ", ".join("x".join(map(str, s)) for s in ((1, 1, 1), *SMALL)[kind.prefix is not None :])
        raise InputError(
            f"--topology is '{text}'; {name} has {small} and AxBxC of multiples of 4{order}, at most {kind.most:,} chips"
        )
    return Slice(name, shape)


def _in_space(name: str, shape: tuple[int, ...]) -> bool:
    kind = GENERATIONS[name]
    if shape in SMALL or (kind.prefix is None and shape == (1, 1, 1)):
        return True
    cubes = len(shape) == 3 and all(n >= 4 and n % 4 == 0 for n in shape) and math.prod(shape) <= kind.most
    return cubes and (not kind.ordered or list(shape) == sorted(shape))
