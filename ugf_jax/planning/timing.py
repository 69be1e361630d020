"""How long a compiled step would take: the compiler's own cost model, operation by operation, times how often each runs.

Of every operation the compiler's text tells the cycles that its cost model expects. Loops are counted as often as they run, so
the real program suffices, whatever is scanned. What the cost model does not know is added:

- attention kernels (custom calls): operations of the blocks that they visit, at `KERNEL` of the peak;
- collectives: bytes that a device sends over the bandwidth of the links that the group uses; those that run beside arithmetic
  cost only what the arithmetic of the same loop body does not cover.

Calibrated on single operations compiled for v4, v5e, v5p, v6e and tpu7x: products of matrices at 1.0 to 1.4 times the
roofline; operations without products at 2.5 times what their traffic with HBM takes, on all five alike, so they are divided
by that (`LOOSE`).
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence

from ugf_jax.planning.chips import Chip
from ugf_jax.planning.collectives import Collective
from ugf_jax.planning.hlo import Instruction, Program, arrays_of

LOOSE = 2.5  # by which the cost model overrates operations without products
KERNEL = 0.5  # of the peak, what attention kernels reach
# Products of matrices of each attention kernel: forward; gradients of key and value; of query; all gradients at once.
_PRODUCTS = {"fwd": 2, "dkv": 4, "dq": 3, "all": 5}
_COLLECTIVE = ("all-", "reduce-scatter", "collective-permute", "send", "recv", "async-")


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of one run of a program on one device.

    Attributes:
      products: operations with products of matrices.
      others: all other operations of the compiler's own.
      attention: attention kernels.
      waiting: for collectives that nothing hides.
      hidden: collectives beside which arithmetic runs (part of no sum).
      cycles_known: share of the fusions of which the cost model knows cycles.
    """

    products: float
    others: float
    attention: float
    waiting: float
    hidden: float
    cycles_known: float

    @property
    def total(self) -> float:
        """Seconds of the whole."""
        return self.products + self.others + self.attention + self.waiting


def estimate(
    program: Program,
    collectives: Sequence[Collective],
    chip: Chip,
    bandwidth: Callable[[Collective], float],
) -> Timing:
    """The time of a program.

    Args:
      program: compiled for TPU.
      collectives: of the program.
      chip: that it is compiled for.
      bandwidth: bytes a second that a device sends in a collective.
    """
    parts = {"products": 0.0, "others": 0.0, "attention": 0.0, "waiting": 0.0, "hidden": 0.0}
    fusions = known = 0
    for name, times in program.runs().items():
        own = {"products": 0.0, "others": 0.0, "attention": 0.0}
        for one in program.computations[name]:
            if one.opcode.startswith(_COLLECTIVE):
                continue
            if one.opcode == "custom-call":
                own["attention"] += kernel_flops(one) / (KERNEL * chip.flops)
                continue
            cycles = one.attribute(r'"estimated_cycles":"(\d{1,15})"')
            fusions += one.opcode == "fusion"
            if cycles:
                known += one.opcode == "fusion"
                product = has_product(program, one)
                own["products" if product else "others"] += int(cycles) / chip.clock / (1 if product else LOOSE)
        here = [(c.sent / max(c.times, 1) / bandwidth(c), c.hidden) for c in collectives if c.computation == name]
        beside = sum(seconds for seconds, hidden in here if hidden)
        alone = sum(seconds for seconds, hidden in here if not hidden)
        own["waiting"] = alone + max(beside - sum(own.values()), 0.0)
        own["hidden"] = beside
        for part, value in own.items():
            parts[part] += times * value
    return Timing(**parts, cycles_known=known / max(fusions, 1))


def has_product(program: Program, one: Instruction) -> bool:
    """Whether an operation multiplies matrices."""
    if one.opcode in ("convolution", "dot"):
        return True
    return any(has_product(program, inner) for name, _ in program.calls(one, True) for inner in program.computations[name])


def kernel_flops(one: Instruction) -> float:
    """Operations of an attention kernel, on causal rows where it is told which blocks to visit; 0 for other custom calls."""
    if "tpu_custom_call" not in one.rest:
        return 0.0
    kind = next((kind for kind in _PRODUCTS if f"_{kind}" in f"{one.name} {one.source}"), None)
    layouts = one.attribute(r"operand_layout_constraints=\{(.*?)\}, \w+=") or ""
    arrays = [
        dimensions for size, dimensions in arrays_of(layouts) if len(dimensions) >= 3 and size >= 2 and dimensions[-1] > 1
    ]
    if kind is None or len(arrays) < 2:
        return 0.0
    query, key = arrays[0], arrays[1]
    if kind == "dkv" and any(len(dimensions) > len(query) for _, dimensions in one.arrays):
        kind = "all"  # gradients of queries too, a part for each block of keys
    blocks = max(query[-2] // int(one.attribute(r"block_q\w*\W+(\d+)") or query[-2]), 1)
    visited = (blocks + 1) / (2 * blocks) if re.match(r"s\d+\[", layouts) else 1.0
    return 2.0 * _PRODUCTS[kind] * math.prod(query[:-1]) * key[-2] * query[-1] * visited
