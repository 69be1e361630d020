"""Operations that a step must do at least, with nothing computed again: what utilisation (MFU) is measured against."""

import dataclasses
from typing import Any

import jax

from ugf_jax.feedback.rlhf.settings import Settings as PolicySettings
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.planning.begin import Beginning
from ugf_jax.training.frozen_groups import training_flops
from ugf_jax.training.stages import reward, unified, unitoken
from ugf_jax.training.trainer import loss_arguments


def step_flops(beginning: Beginning, state: Any, batch: Any) -> float:
    """Of one step of all devices: three times the forward pass (Chowdhery et al. 2022, PaLM, appendix B).

    Gradients of parameters that do not learn are left out. Counted from the jaxpr with attention written out densely; of causal
    self-attention only the half that is seen counts, of cross-attention everything. Stage `rlhf` counts 0: its programs are
    bound by memory, not by operations.
    """
    settings = beginning.settings
    if isinstance(settings, PolicySettings):
        return 0.0
    plain = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (state, batch))
    model: FusionSettings | None = None
    if isinstance(settings, (unified.Settings, unitoken.Settings)):
        model = dataclasses.replace(settings.model, attention="reference")
        stage = unified.build(dataclasses.replace(settings, model=model))  # type: ignore[arg-type]
    elif isinstance(settings, reward.Settings):
        assert beginning.start is not None
        model = dataclasses.replace(beginning.start.model, attention="reference")
        stage = reward.build(settings, dataclasses.replace(beginning.start, model=model))
    else:
        stage = beginning.stage
    whole = training_flops(stage, settings.optimizer, *loss_arguments(*plain))
    return whole - 3 * (unseen_flops(model, batch["tokens"].shape) if model else 0.0)


def unseen_flops(model: FusionSettings, shape: tuple[int, ...]) -> float:
    """Of the products of self-attention in the forward pass, the half that no query of `[..., positions]` tokens sees."""
    block, positions = model.block, shape[-1]
    rows = 1
    for size in shape[:-1]:
        rows *= size
    return model.depth * rows * 2.0 * positions**2 * block.heads * block.head_features
