"""A plan: does the step of a config fit on a topology, what does it send, how long would it take, what would a run cost."""

import importlib.metadata
import math
from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from ugf_jax.planning import concerns, memory
from ugf_jax.planning.begin import Beginning, begin
from ugf_jax.planning.collectives import Collective, find_collectives, summed
from ugf_jax.planning.compile_step import compile_program
from ugf_jax.planning.model_flops import step_flops
from ugf_jax.planning.network import bandwidths
from ugf_jax.planning.programs import Planned, StepProgram, lay_out, tokens_and_images
from ugf_jax.planning.scaling import weak_scaling
from ugf_jax.planning.timing import Timing, estimate
from ugf_jax.planning.topology import Topology, described_devices
from ugf_jax.training import sharding

METHOD = (
    "compiler estimate: cycles of its cost model for every operation times how often it runs, attention kernels at half of "
    "the peak, collectives by bytes over links, hidden as far as arithmetic of the same loop body covers them"
)

Plan = dict[str, Any]


def make_plan(
    values: ConfigDict, topology: Topology, start_values: ConfigDict | None = None, sizes: Sequence[int] = ()
) -> Plan:
    """Compiles the programs of a config's step for slices of TPU, and says what follows; JSON-compatible.

    Args:
      values: a config of any stage.
      topology: of TPU.
      start_values: config of the run that it starts from, where that does not exist yet.
      sizes: numbers of devices to estimate weak scaling for.

    Raises:
      InputError: the config is wrong or does not suit the topology.
    """
    devices = described_devices(topology)
    beginning = begin(values, start_values)
    settings = beginning.settings
    mesh = sharding.make_mesh(settings.mesh, devices)
    with jax.set_mesh(mesh):
        planned = lay_out(beginning, mesh)
        programs = [_program(one, planned, topology, mesh, sizes) for one in planned.programs]
    flops = step_flops(beginning, planned.state, planned.batch)
    plan: Plan = {
        "stage": settings.stage,
        "topology": str(topology),
        "devices": topology.devices,
        "hosts": topology.hosts,
        "mesh": dict(mesh.shape),
        "parameters": sum(x.size for x in jax.tree.leaves(planned.state.params)),
        "versions": versions(),
        "programs": programs,
        "concerns": concerns.layout_concerns(planned.state.params, mesh.shape)
        + [text for program in programs for text in program.pop("concerns")],
    }
    return plan | totals(beginning, planned, topology, programs, flops)


def _program(step: StepProgram, planned: Planned, topology: Topology, mesh: jax.sharding.Mesh, sizes: Sequence[int]) -> Plan:
    compiled = compile_program(step)
    room = topology.chip.memory
    found: Plan = {"name": step.name, "runs": step.runs, "compile_seconds": round(compiled.seconds, 1)}
    if compiled.program is None:
        text = concerns.memory_concerns(compiled.needed, room)
        return found | {"fits": False, "memory": {"total": compiled.needed, "room": room}, "concerns": text}
    kinds = memory.split(step.arguments, compiled.stats, step.kept)
    total = sum(kinds.values())
    collectives = find_collectives(compiled.program, mesh.shape, topology.slices)
    bandwidth = bandwidths(topology, mesh.devices.flat)
    timing = estimate(compiled.program, collectives, topology.chip, bandwidth)
    scaling = weak_scaling(compiled.program, collectives, topology.chip, bandwidth, mesh.shape, sizes)
    gradient = gradient_bytes(planned.state.params)
    between = sum(one.bytes for one in collectives if one.network == "dcn")
    texts = concerns.memory_concerns(total, room)
    if step.name != "rollout":
        texts += concerns.gradient_concerns(planned.state.params, collectives)
        texts += concerns.network_concerns(timing, collectives, gradient)
    return found | {
        "fits": total <= memory.FREE * room,
        "memory": {**kinds, "total": total, "room": room},
        "collectives": summed(collectives),
        "largest": [_largest(one) for one in sorted(collectives, key=lambda one: -one.sent)[:8]],
        "between_slices": {"bytes": between, "gradient": gradient, "ratio": between / gradient if gradient else 0.0},
        "timing": {**_timing(timing), "loops_of_unknown_length": compiled.program.endless},
        "weak_scaling": {str(size): seconds for size, seconds in scaling.items()},
        "concerns": texts,
    }


def totals(beginning: Beginning, planned: Planned, topology: Topology, programs: Sequence[Plan], flops: float) -> Plan:
    """What follows for a step and for a run."""
    tokens, images = tokens_and_images(beginning, planned.batch)
    batch = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(planned.batch))
    found: Plan = {"fits": all(program["fits"] for program in programs), "method": METHOD, "step_flops": flops}
    found |= {"tokens_per_step": tokens, "images_per_step": images, "batch_bytes": batch}
    found["rows_per_step"] = next(iter(planned.batch.values())).shape[0]
    if any("timing" not in program for program in programs):
        return found
    seconds = sum(program["runs"] * program["timing"]["total"] for program in programs)
    return found | run_figures(seconds, flops, tokens, images, batch, beginning.settings.steps, topology)


def run_figures(seconds: float, flops: float, tokens: int, images: int, batch: float, steps: int, topology: Topology) -> Plan:
    """Rates and costs from the time of a step.

    Args:
      seconds: of a step.
      flops: of a step, all devices.
      tokens, images, batch: of a step; `batch` in bytes.
      steps: of the run.
      topology: that it runs on.
    """
    chips = topology.devices / topology.chip.per_package
    days = steps * seconds / 86_400
    return {
        "step_seconds": seconds,
        "mfu": flops / (seconds * topology.devices * topology.chip.flops),
        "tokens_per_second": tokens / seconds,
        "images_per_second": images / seconds,
        "steps": steps,
        "days": days,
        "chip_hours": days * 24 * chips,
        "host_bytes_per_second": batch / seconds / topology.hosts,
    }


def gradient_bytes(params: Any) -> float:
    """Bytes of one device's part of the gradients, float32."""
    return sum(4.0 * math.prod(x.sharding.shard_shape(x.shape)) for x in jax.tree.leaves(params))


def versions() -> dict[str, str]:
    """Of what a plan depends on."""
    return {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "libtpu", "flax", "ugf-jax")}


def _timing(timing: Timing) -> Plan:
    own = {name: getattr(timing, name) for name in ("products", "others", "attention", "waiting", "hidden", "cycles_known")}
    return own | {"total": timing.total}


def _largest(one: Collective) -> Plan:
    return {
        "kind": one.kind,
        "axes": list(one.axes),
        "network": one.network,
        "bytes": one.size,
        "times": one.times,
        "hidden": one.hidden,
        "source": one.source,
    }
