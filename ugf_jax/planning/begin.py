"""Stages as functions, also of runs that start from a model that does not exist yet: then a config stands for it."""

import dataclasses
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.feedback.rlhf import stage as rlhf
from ugf_jax.feedback.rlhf.policy import Policy
from ugf_jax.models.tokenizer import DualTokenizer
from ugf_jax.training import stages
from ugf_jax.training.frozen import FrozenTokenizer, without_sharing
from ugf_jax.training.pretrained import Pretrained, find_pretrained
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stage import Stage
from ugf_jax.training.stages import detail, reward

# The stage that each of these starts from, and the key that names such a run.
STARTS = {"detail": ("tokenizer", "tokenizer"), "reward": ("unified", "model"), "rlhf": ("unified", "model")}


@dataclasses.dataclass(frozen=True)
class Beginning:
    """A run before its first step.

    Attributes:
      settings: the whole config.
      stage: as functions.
      start: the transformer that stages `reward` and `rlhf` start from; None for others.
    """

    settings: Any
    stage: Stage
    start: Pretrained | None = None

    @property
    def policy(self) -> Policy:
        """What stage `rlhf` trains."""
        assert self.start is not None
        return Policy(self.settings, self.start)


def begin(values: ConfigDict, start_values: ConfigDict | None = None) -> Beginning:
    """The run that a config describes.

    Args:
      values: the config.
      start_values: config of the run that it starts from; None reads the folder that the config names.

    Raises:
      InputError: a config is wrong, or the folder is not there.
    """
    stage_type = stages.find(values.get("stage"))
    settings: Any = config.parse(stage_type.settings, values)
    if settings.stage not in STARTS:
        if start_values is not None:
            raise InputError(f"--from: stage '{settings.stage}' starts from nothing; want it left out")
        return Beginning(settings, stage_type.build(settings))
    first = None if start_values is None else _start_settings(settings.stage, start_values)
    if settings.stage == "detail":
        return Beginning(settings, detail.build(settings, None if first is None else _tokenizer(first)))
    start = find_pretrained(settings.model) if first is None else _transformer(first)
    if settings.stage == "reward":
        return Beginning(settings, reward.build(settings, start), start)
    # Nobody is judged in a plan, so the rewards' own models are not read.
    judge: Any = None if settings.algorithm == "dpo" else object()
    return Beginning(settings, rlhf.build(settings, judge, start), start)


def _start_settings(stage: str, values: ConfigDict) -> TrainSettings:
    wanted, key = STARTS[stage]
    if values.get("stage") != wanted:
        raise InputError(f"--from is of stage '{values.get('stage')}'; config.{key} of stage '{stage}' wants '{wanted}'")
    return config.parse(stages.find(wanted).settings, values, "--from")


def _tokenizer(settings: Any) -> FrozenTokenizer:
    patch = settings.model.auxiliary.patch
    image = jax.ShapeDtypeStruct((1, 2 * patch, 2 * patch, 3), np.float32)
    shapes = jax.eval_shape(lambda x: DualTokenizer(settings.model).init(jax.random.key(0), x), image)
    return FrozenTokenizer(settings.model, jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes), 0, {})


def _transformer(settings: Any) -> Pretrained:
    return Pretrained(without_sharing(settings.model), settings.vocabulary, "", "", 0, lambda abstract: abstract)
