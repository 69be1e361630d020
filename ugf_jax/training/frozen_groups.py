"""Parameter groups that do not learn: no gradient is computed for them."""

import dataclasses
from typing import Any

import jax

from ugf_jax.training.flops import forward_flops
from ugf_jax.training.optimizer import OptimizerSettings, group_labels
from ugf_jax.training.stage import Params, Stage


def without_frozen(stage: Stage, settings: OptimizerSettings) -> Stage:
    """The stage with objectives that do not move the groups of `learning_rate_scale` 0.

    The optimizer would leave these parameters alone anyway; but their gradients would be computed, summed over all devices and
    kept as large as the parameters, only to be thrown away.
    """
    frozen = {pattern for pattern, group in settings.groups.items() if group.learning_rate_scale == 0}
    if not frozen:
        return stage

    def hold(params: Params) -> Params:
        labels = group_labels(params, list(settings.groups))
        return jax.tree.map(lambda x, label: jax.lax.stop_gradient(x) if label in frozen else x, params, labels)

    def loss(params: Params, *rest: Any) -> Any:
        return stage.loss(hold(params), *rest)

    def terms(params: Params, *rest: Any) -> Any:
        assert stage.terms is not None
        return stage.terms(hold(params), *rest)

    return dataclasses.replace(stage, loss=loss, terms=terms if stage.terms else None)


def training_flops(stage: Stage, settings: OptimizerSettings, *arguments: Any) -> float:
    """Operations of forward and backward pass: three times the forward pass, less the products for frozen parameters.

    Args:
      stage: as it is, with all its gradients.
      settings: says what is frozen.
      arguments: of `Stage.loss`.
    """
    held = without_frozen(stage, settings)
    whole = 3 * forward_flops(stage.loss, *arguments)
    if held is stage:
        return whole
    # What is computed again in the backward pass is in both, so it does not count.
    of_all, of_some = (forward_flops(jax.grad(s.loss, has_aux=True), *arguments) for s in (stage, held))
    return whole - (of_all - of_some)
