"""Plans for NVIDIA devices by arithmetic on the mesh, with nothing compiled: coarser than those for TPU."""

import dataclasses
import math
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType
from ml_collections import ConfigDict

from ugf_jax.errors import InputError
from ugf_jax.planning import concerns, memory
from ugf_jax.planning.begin import begin
from ugf_jax.planning.model_flops import step_flops
from ugf_jax.planning.plan import Plan, gradient_bytes, run_figures
from ugf_jax.planning.programs import kinds_of, lay_out_state, tokens_and_images
from ugf_jax.planning.topology import Topology
from ugf_jax.training import sharding

REACHED = 0.6  # of the peak, what a step's arithmetic reaches: published trainers get 50 to 70 % of H100's
METHOD = (
    f"mesh arithmetic: operations at {REACHED:.0%} of the peak (a third more where blocks are computed again), weights "
    "gathered and gradients scattered in bfloat16 over fsdp and summed over data, beside the arithmetic as far as that lasts"
)


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes that one device sends in a step, and the seconds that takes.

    Attributes:
      axis: of the mesh.
      network: "nvlink" where the axis stays inside a node, else "network".
      kind: what is done.
      sent: bytes.
      seconds: at the full rate.
    """

    axis: str
    network: str
    kind: str
    sent: float
    seconds: float


def nvidia_plan(values: ConfigDict, topology: Topology, start_values: ConfigDict | None = None) -> Plan:
    """A plan for nodes of GPUs.

    Raises:
      InputError: the config is wrong or does not suit the topology, or it is of stage `rlhf`.
    """
    beginning = begin(values, start_values)
    settings = beginning.settings
    if settings.stage == "rlhf":
        raise InputError("--topology: stage 'rlhf' is planned by compiling, which only TPU allows; want such as v5e:4x4")
    shape = sharding.mesh_shape(settings.mesh, topology.devices)
    mesh: Any = AbstractMesh(tuple(shape), sharding.AXES, axis_types=(AxisType.Auto,) * len(sharding.AXES))
    state, batch, kept = lay_out_state(beginning, mesh)
    kinds = {name: memory.bytes_of(tree) for name, tree in (kinds_of(state) | {"batch": batch}).items()}
    kinds |= {"activations": kept, "gradients": gradient_bytes(state.params)}
    total = sum(kinds.values())
    flops = step_flops(beginning, state, batch)
    traffic = find_traffic(state.params, mesh.shape, topology)
    again = 4 / 3 if getattr(getattr(settings, "model", None), "remat", False) else 1.0
    arithmetic = again * flops / (topology.devices * topology.chip.flops * REACHED)
    seconds = max(arithmetic, sum(one.seconds for one in traffic))
    tokens, images = tokens_and_images(beginning, batch)
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(batch))
    timing = {"products": arithmetic, "waiting": seconds - arithmetic, "hidden": min(arithmetic, seconds), "total": seconds}
    texts = concerns.memory_concerns(total, topology.chip.memory)
    program = {
        "name": "step",
        "runs": 1,
        "fits": total <= memory.FREE * topology.chip.memory,
        "memory": {**kinds, "total": total, "room": topology.chip.memory},
        "collectives": [_row(one) for one in traffic],
        "timing": timing,
    }
    return {
        "stage": settings.stage,
        "topology": str(topology),
        "devices": topology.devices,
        "hosts": topology.hosts,
        "mesh": dict(mesh.shape),
        "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
        "programs": [program],
        "concerns": concerns.layout_concerns(state.params, mesh.shape) + texts,
        "fits": program["fits"],
        "method": METHOD,
        "step_flops": flops,
        "tokens_per_step": tokens,
        "images_per_step": images,
        "batch_bytes": size,
        "rows_per_step": next(iter(batch.values())).shape[0],
        **run_figures(seconds, flops, tokens, images, size, settings.steps, topology),
    }


def find_traffic(params: Any, mesh: Any, topology: Topology) -> list[Traffic]:
    """What a step of training must send: `fsdp` is the fastest axis but `tensor`, so it stays in a node where it can."""
    whole = sum(2.0 * math.prod(x.shape) for x in jax.tree.leaves(params))  # bfloat16
    part = sum(2.0 * math.prod(x.sharding.shard_shape(x.shape)) for x in jax.tree.leaves(params))
    node = topology.shape[1]
    inside = mesh["tensor"] * mesh["fsdp"] <= node
    found = []
    if mesh["fsdp"] > 1:
        sent = (whole / mesh["tensor"]) * (mesh["fsdp"] - 1) / mesh["fsdp"]
        for kind, times in (("all-gather", 2), ("reduce-scatter", 1)):  # weights forwards and backwards; gradients
            found.append(_traffic("fsdp", kind, times * sent, inside, topology))
    if mesh["data"] > 1:
        sent = 2 * part * (mesh["data"] - 1) / mesh["data"]
        found.append(_traffic("data", "all-reduce", sent, inside and topology.devices <= node, topology))
    return found


def _traffic(axis: str, kind: str, sent: float, inside: bool, topology: Topology) -> Traffic:
    rate = topology.chip.link if inside else topology.chip.network
    return Traffic(axis, "nvlink" if inside else "network", kind, sent, sent / rate)


def _row(one: Traffic) -> Plan:
    return {"network": one.network, "axes": [one.axis], "kind": one.kind, "operations": 1, "bytes": one.sent, "sent": one.sent}
