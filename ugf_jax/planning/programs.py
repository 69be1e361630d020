"""The programs that a step of each stage runs, lowered for a mesh that need not exist, as the trainer would lower them."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ugf_jax.feedback.rlhf.policy import Frozen
from ugf_jax.feedback.rlhf.preferring import PreferenceSteps
from ugf_jax.feedback.rlhf.rollout import BEFORE
from ugf_jax.feedback.rlhf.stage import distribution
from ugf_jax.feedback.rlhf.steps import PolicySteps
from ugf_jax.feedback.rlhf.studio import Studio
from ugf_jax.planning.batches import abstract_batch, batch_specs, check_scales
from ugf_jax.planning.begin import Beginning
from ugf_jax.planning.memory import activations
from ugf_jax.training import sharding, trainer
from ugf_jax.training.frozen_groups import without_frozen
from ugf_jax.training.optimizer import make_optimizer
from ugf_jax.training.state import TrainState, init_state, make_step


@dataclasses.dataclass(frozen=True)
class StepProgram:
    """One program of a step.

    Attributes:
      name: `step`, or `rollout` and `update` of stage `rlhf`.
      lower: lowers it; under `jax.set_mesh`.
      arguments: abstract, by kind.
      kept: bytes of activations on one device.
      runs: in a step.
      loop: trips of loops whose length the program decides itself.
    """

    name: str
    lower: Callable[[], jax.stages.Lowered]
    arguments: dict[str, Any]
    kept: float = 0.0
    runs: int = 1
    loop: int = 1


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run laid out on a mesh.

    Attributes:
      programs: of a step.
      state: abstract, with shardings.
      batch: likewise.
    """

    programs: tuple[StepProgram, ...]
    state: TrainState
    batch: dict[str, Any]


def lay_out(beginning: Beginning, mesh: jax.sharding.Mesh) -> Planned:
    """The programs of a run's step, on a mesh that is in force.

    Raises:
      InputError: the batch does not divide among the devices.
    """
    settings, stage = beginning.settings, beginning.stage
    optimizer = make_optimizer(settings.optimizer, settings.steps * stage.updates)
    state, batch, kept = lay_out_state(beginning, mesh)
    if settings.stage == "rlhf":
        made = _preferences if settings.algorithm == "dpo" else _policy
        return Planned(made(beginning, optimizer, state, batch, mesh), state, batch)
    learning = without_frozen(stage, settings.optimizer)
    step = make_step(learning, optimizer, settings.optimizer.accumulate, settings.optimizer.ema_decay)
    out = jax.tree.map(lambda x: x.sharding, state), sharding.replicated(mesh)
    jitted = jax.jit(step, donate_argnums=0, out_shardings=out)
    program = StepProgram("step", lambda: jitted.lower(state, batch), kinds_of(state) | {"batch": batch}, kept)
    return Planned((program,), state, batch)


def lay_out_state(beginning: Beginning, mesh: Any) -> tuple[TrainState, dict[str, Any], float]:
    """State and batch, abstract, and bytes of activations on one device (0 for stage `rlhf`)."""
    settings, stage = beginning.settings, beginning.stage
    start = None if beginning.start is None else beginning.start.model
    check_scales(settings, mesh)
    batch = abstract_batch(batch_specs(settings, start), mesh)
    optimizer = make_optimizer(settings.optimizer, settings.steps * stage.updates)
    init = functools.partial(init_state, stage, optimizer, settings.optimizer.ema_decay > 0)
    state = trainer.abstract_state(init, batch, stage, settings, mesh)
    if settings.stage == "rlhf":
        return state, batch, 0.0
    rows = next(iter(batch.values())).shape[0]
    shards = mesh.shape["data"] * mesh.shape["fsdp"] * settings.optimizer.accumulate
    learning = without_frozen(stage, settings.optimizer)
    return state, batch, activations(learning.loss, trainer.loss_arguments(state, batch), rows, shards)


def kinds_of(state: TrainState) -> dict[str, Any]:
    """The arrays of a state by what they are for."""
    return {
        "parameters": state.params,
        "optimizer": state.opt_state,
        "average": state.ema,
        "frozen": state.model_state,
        "counters": (state.step, state.bad_steps, state.skipped),
    }


def _policy(beginning: Beginning, optimizer: Any, state: TrainState, batch: Any, mesh: Any) -> tuple[StepProgram, ...]:
    settings, start = beginning.settings, beginning.start
    assert start is not None
    policy = beginning.policy
    drawn_from = distribution(settings, start, settings.sampler.image)
    studio = Studio(settings, policy, drawn_from, judge=None)  # type: ignore[arg-type]  # nobody is judged in a plan
    studio.open(mesh)
    steps = PolicySteps(studio, source=None)  # type: ignore[arg-type]
    base = _frozen(beginning, mesh).base
    key, number = jax.eval_shape(lambda: jax.random.key(0)), jax.ShapeDtypeStruct((), jnp.int32)
    draw = jax.jit(studio.draw_all, out_shardings=sharding.replicated(mesh))
    whole = sharding.replicated(mesh)
    found = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), steps.abstract_experience(state, base, batch)
    )
    update = steps.compile_update(optimizer, beginning.stage, state)
    # The reference is a second model beside the policy, in memory all the time.
    there = {"reference": _frozen(beginning, mesh)}
    rollout = {"parameters": state.params, "batch": batch}
    return (
        StepProgram(
            "rollout",
            lambda: draw.lower(state.params, base, batch, key, batch["row"]),
            rollout | there,
            loop=BEFORE + drawn_from.cells,
        ),
        StepProgram(
            "update",
            lambda: update.lower(state, base, found, key, number),
            kinds_of(state) | {"batch": found} | there,
            runs=settings.updates_per_step,
        ),
    )


def _preferences(beginning: Beginning, optimizer: Any, state: TrainState, batch: Any, mesh: Any) -> tuple[StepProgram, ...]:
    settings, start = beginning.settings, beginning.start
    assert start is not None
    steps = PreferenceSteps(settings, beginning.policy, distribution(settings, start, settings.sampler.image))
    steps.mesh = mesh
    frozen = _frozen(beginning, mesh)
    update = steps.compile_update(optimizer, beginning.stage, state)
    arguments = kinds_of(state) | {"batch": batch, "reference": frozen}
    return (StepProgram("update", lambda: update.lower(state, frozen, batch), arguments),)


def _frozen(beginning: Beginning, mesh: Any) -> Frozen:
    """The abstract counterpart of `Policy.frozen`."""
    policy, settings = beginning.policy, beginning.settings
    shapes = policy.abstract_fusion()
    shardings = sharding.tree_shardings(shapes, policy.axes, settings.mesh.rules, mesh)
    placed = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)
    return Frozen(placed, {}) if settings.lora.rank else Frozen({}, {"fusion": placed})


def tokens_and_images(beginning: Beginning, batch: dict[str, Any]) -> tuple[int, int]:
    """Tokens that a step learns from (or draws), and images."""
    settings = beginning.settings
    if settings.stage in ("tokenizer", "detail"):
        return 0, batch["image"].shape[0]
    if settings.stage == "rlhf" and settings.algorithm != "dpo":
        assert beginning.start is not None
        pictures = settings.prompts.count * settings.sampler.samples
        return pictures * beginning.start.model.grid**2, pictures
    tokens = math.prod(batch["tokens"].shape)
    return tokens, 2 * batch["weights"].shape[0] if "weights" in batch else 0
