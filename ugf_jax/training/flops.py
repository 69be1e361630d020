"""Floating-point operations of a function, counted from its jaxpr, and what devices can do at most."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core

# bf16 operations a second for one JAX device, by a part of `device_kind`; the first match counts.
# TPU: docs.cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e,tpu7x}; a TPU7x chip (2307e12) is two devices.
# NVIDIA: data sheets of A100, H100 and H200, dense figures (half of those "with sparsity").
_PEAK = (
    ("tpu v4", 275e12),
    ("tpu v5 lite", 197e12),
    ("tpu v5e", 197e12),
    ("tpu v5", 459e12),
    ("tpu v6", 918e12),
    ("tpu7x", 2307e12 / 2),
    ("tpu v7", 2307e12 / 2),
    ("a100", 312e12),
    ("h100 pcie", 756e12),
    ("h100", 989e12),
    ("h200", 989e12),
)


def peak_flops(device: jax.Device) -> float | None:
    """The most bf16 operations a second that a device can do; None where no figure is known, as for a CPU."""
    kind = device.device_kind.lower()
    return next((peak for part, peak in _PEAK if part in kind), None)


def forward_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Operations in the matrix products and convolutions of one call; everything else is small beside them.

    A multiplication and an addition count as two. A scan counts its body as often as it runs, a `while_loop` (whose length
    is unknown) once, a `cond` its most expensive branch, a `shard_map` its body on every device.

    Args:
      function: traced, never run.
      arguments: arrays or `jax.ShapeDtypeStruct`s.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: Any) -> float:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return _dot(equation)
    if name == "conv_general_dilated":
        return _convolution(equation)
    bodies = [_count(jaxpr) for jaxpr in _jaxprs(params)]
    if name == "cond":
        return max(bodies)
    if name == "scan":
        return params["length"] * sum(bodies)
    if name == "shard_map":
        return math.prod(params["mesh"].shape[axis] for axis in params["newly_manual_axes"]) * sum(bodies)
    return float(sum(bodies))


def _jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item


def _dot(equation: Any) -> float:
    (contracting, _), _ = equation.params["dimension_numbers"]
    inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracting)
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * inner


def _convolution(equation: Any) -> float:
    kernel = equation.invars[1].aval.shape
    # In the kernel's specification the first axis is output features: what is left is summed for each output.
    inner = math.prod(kernel) // kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    zeros = math.prod(equation.params["lhs_dilation"])  # a transposed convolution multiplies these inserted zeros in name only
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * inner / zeros
