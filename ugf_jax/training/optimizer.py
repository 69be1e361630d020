"""The optimizer: AdamW or Muon with a schedule, clipping, and parameter groups of their own learning rate."""

import dataclasses
import re
from typing import Any

import jax
import optax
import optax.contrib

from ugf_jax import config
from ugf_jax.config import FRACTION, NOT_NEGATIVE, POSITIVE
from ugf_jax.errors import InputError
from ugf_jax.training.sharding import path_name

MUON_RMS = 0.2  # of an update at a learning rate of 1, as AdamW's commonly is
STATE_AXES = ((r"ns_coeffs", (None,)),)  # what Muon keeps beside arrays of the parameters' shapes


@dataclasses.dataclass(frozen=True)
class GroupSettings:
    """Parameters whose path matches a pattern, and what differs for them."""

    learning_rate_scale: float = config.setting(1.0, NOT_NEGATIVE, "0 freezes the group")
    weight_decay: float | None = config.setting(None, NOT_NEGATIVE)
    b1: float | None = config.setting(None, FRACTION)


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """AdamW (Loshchilov & Hutter 2019) or Muon (Jordan 2024) on float32 state.

    Muon moves the matrices inside blocks; norms, biases, embeddings and heads keep AdamW, with Nesterov's momentum. Its steps
    are scaled to the size of AdamW's (Liu et al. 2025, section 2.2), so that one learning rate and one weight decay serve both.

    `groups` maps a regular expression, searched for in a parameter's path, to what differs there. Where several match, the
    first counts; a config keeps them in alphabetical order, so patterns had better exclude each other.
    """

    kind: str = config.setting("adamw", config.one_of("adamw", "muon"))
    learning_rate: float = config.setting(1e-3, POSITIVE)
    schedule: str = config.setting("cosine", config.one_of("cosine", "linear", "constant"))
    warmup_steps: int = config.setting(100, NOT_NEGATIVE)
    final_fraction: float = config.setting(0.1, FRACTION, "of the learning rate, reached at the last step")
    b1: float = config.setting(0.9, FRACTION)
    b2: float = config.setting(0.95, FRACTION)
    eps: float = config.setting(1e-8, POSITIVE)
    weight_decay: float = config.setting(0.01, NOT_NEGATIVE, "on matrices only")
    clip_norm: float = config.setting(1.0, NOT_NEGATIVE, "of each group's gradient; 0 does not clip")
    clip_together: bool = config.setting(False, doc="clip the gradient of all that is trained as one, not group by group")
    decay_all: bool = config.setting(False, doc="decay every parameter, not matrices only")
    accumulate: int = config.setting(1, POSITIVE, "microbatches that one update adds up")
    ema_decay: float = config.setting(0.0, ("from 0 to below 1", lambda x: 0 <= x < 1), "0 keeps no average")
    groups: dict[str, GroupSettings] = config.setting({})

    def validate(self, path: str) -> None:
        """Refuses patterns that are no regular expressions."""
        for pattern in self.groups:
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(f"{path}.groups: '{pattern}' is not a regular expression ({error})") from error


def make_schedule(settings: OptimizerSettings, steps: int) -> optax.Schedule:
    """Learning rate at each step: linear warm-up, then the named schedule down to `final_fraction`."""
    peak, end = settings.learning_rate, settings.learning_rate * settings.final_fraction
    warmup = min(settings.warmup_steps, steps // 2)
    rest = max(steps - warmup, 1)
    after = {
        "cosine": optax.cosine_decay_schedule(peak, rest, settings.final_fraction),
        "linear": optax.linear_schedule(peak, end, rest),
        "constant": optax.constant_schedule(peak),
    }[settings.schedule]
    if not warmup:
        return after
    # Starts at a fraction of the peak, not at 0: a first step that changes nothing hides mistakes.
    return optax.join_schedules([optax.linear_schedule(peak / warmup, peak, warmup), after], [warmup])


def make_optimizer(settings: OptimizerSettings, steps: int) -> optax.GradientTransformation:
    """The whole update: clip, then AdamW or Muon per group."""
    schedule = make_schedule(settings, steps)

    def update_of(group: GroupSettings) -> optax.GradientTransformation:
        if group.learning_rate_scale == 0:
            return optax.set_to_zero()

        def rate(step: jax.Array) -> jax.Array:
            return schedule(step) * group.learning_rate_scale

        b1 = settings.b1 if group.b1 is None else group.b1
        decay = settings.weight_decay if group.weight_decay is None else group.weight_decay
        if settings.kind == "adamw":
            mask = None if settings.decay_all else decayed
            update = optax.adamw(rate, b1=b1, b2=settings.b2, eps=settings.eps, weight_decay=decay, mask=mask)
        else:
            update = optax.contrib.muon(
                rate,
                weight_decay=decay,
                adam_b1=b1,
                adam_b2=settings.b2,
                muon_weight_dimension_numbers=block_matrices,
                consistent_rms=MUON_RMS,
            )
        # Inside the group, so that a discriminator's gradients do not decide how far the generator is clipped.
        inside = settings.clip_norm and not settings.clip_together
        return optax.chain(optax.clip_by_global_norm(settings.clip_norm), update) if inside else update

    patterns = list(settings.groups)
    groups = {"": GroupSettings()} | settings.groups
    transforms = {pattern: update_of(group) for pattern, group in groups.items()}
    update = optax.multi_transform(transforms, lambda params: group_labels(params, patterns))
    if not settings.clip_norm or not settings.clip_together:
        return update

    def trained(params: Any) -> Any:
        return jax.tree.map(lambda label: groups[label].learning_rate_scale > 0, group_labels(params, patterns))

    return optax.chain(optax.masked(optax.clip_by_global_norm(settings.clip_norm), trained), update)


def decayed(params: Any) -> Any:
    """True for matrices; norms, biases and embeddings of a single vector are not decayed."""
    return jax.tree_util.tree_map_with_path(lambda path, _: decayed_name(path_name(path)), params)


def decayed_name(name: str) -> bool:
    """Whether a parameter of this path is a matrix."""
    return name.endswith("kernel")


def block_matrices(params: Any) -> Any:
    """For each matrix inside a block the axes that Muon makes orthogonal, the last two; None for all other parameters."""

    def axes(path: Any, _: Any) -> optax.contrib.MuonDimensionNumbers | None:
        name = path_name(path)
        inside = decayed_name(name) and not re.search(r"(^|/)(embed|head|projection)(/|$)", name)
        return optax.contrib.MuonDimensionNumbers(-2, -1) if inside else None

    return jax.tree_util.tree_map_with_path(axes, params)


def group_labels(params: Any, patterns: list[str]) -> Any:
    """For each parameter the first pattern found in its path, or the empty string."""

    def label(path: Any, _: Any) -> str:
        name = path_name(path)
        return next((p for p in patterns if re.search(p, name)), "")

    return jax.tree_util.tree_map_with_path(label, params)
