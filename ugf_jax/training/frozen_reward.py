"""A trained reward model, read for inference."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp

from ugf_jax import config
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.training.checkpoints import read_extras, restore_params
from ugf_jax.training.frozen import everywhere, read_run
from ugf_jax.training.reward_model import RewardModel, without_vision
from ugf_jax.training.stages.reward import Settings


@dataclasses.dataclass(frozen=True)
class FrozenReward:
    """What a run of stage `reward` has learnt.

    Attributes:
      settings: of the transformer, as `RewardModel` takes them.
      vocabulary: its ids.
      text: the tokenizer of its prompts.
      params: of the `RewardModel`, averaged where the run averages.
      length: tokens of a document at most; longer prompts are cut.
      codes: digest of the image tokenizer; "" where that is not known.
      details: it was trained on images with their auxiliary codes; False: on master codes alone.
      step: training steps of the checkpoint.
      config: the run's whole config, as JSON.
    """

    settings: FusionSettings
    vocabulary: VocabularySettings
    text: TextTokenizer
    params: Any
    length: int
    codes: str
    details: bool
    step: int
    config: dict[str, Any]


def load_reward(workdir: str | os.PathLike[str], step: int | None = None) -> FrozenReward:
    """Reads the reward model of a run; every process must call this together, and gets the whole.

    Args:
      workdir: the run's work folder. What it started from need not exist any more.
      step: which checkpoint; default the newest that is sound.

    Raises:
      InputError: no such run or step, a run of another stage, or a text tokenizer that is not the run's.
    """
    folder, step, found = read_run(workdir, "reward", step)
    extras = read_extras(folder, step)[1]
    about = extras["about"]["pretrained"]
    settings = config.parse(Settings, found)
    model = without_vision(config.parse(FusionSettings, about["model"], f"{workdir}: model"))
    vocabulary = config.parse(VocabularySettings, about["vocabulary"], f"{workdir}: vocabulary")
    text = TextTokenizer.load(settings.data.text_tokenizer)
    if text.digest != about["text"]:
        raise InputError(
            f"{workdir}: {settings.data.text_tokenizer or 'the shipped tokenizer'} is not what the run was trained with"
        )
    name = "ema" if settings.optimizer.ema_decay else "params"
    step, restored = restore_params(folder, everywhere({name: abstract_params(model, vocabulary)}), step)
    codes = extras["data"]["codes"]
    length, tokenizer, details = settings.data.length, str(codes["tokenizer"]), bool(codes["details"])
    return FrozenReward(model, vocabulary, text, restored[name], length, tokenizer, details, step, found)


def abstract_params(settings: FusionSettings, vocabulary: VocabularySettings) -> Any:
    """Shapes of the parameters of a reward model."""
    zeros = jnp.zeros((1, 1), jnp.int32)
    names = ("tokens", "segments", "positions", "kinds", "cells", "aux_segments", "aux_releases", "aux_levels")
    batch = dict.fromkeys(names, zeros)
    batch |= {"pairs": jnp.zeros((1, 1, 2), jnp.int32)}
    batch |= {"aux_codes": jnp.zeros((1, 1, settings.memory.groups), jnp.int32), "aux_places": jnp.zeros((1, 1, 4))}
    return jax.eval_shape(lambda: RewardModel(settings, vocabulary.total).init(jax.random.key(0), batch))["params"]
