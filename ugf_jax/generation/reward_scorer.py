"""Trained reward models as a function of prompts and images; several of one kind judge together."""

import functools
import os
from collections.abc import Sequence
from typing import Any, Self, cast

import jax
import numpy as np

from ugf_jax.data.judged import judged_row
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.generation.forward import rows_in_batches
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.training.digests import fingerprint
from ugf_jax.training.frozen_reward import FrozenReward, load_reward
from ugf_jax.training.reward_model import RewardModel, row_kind


class RewardScorer:
    """Scores of images as answers to prompts, by each of some models, usually runs of one config with several seeds.

    Scores of one model are log-odds up to a constant; how far models differ says how little they know.

    Attributes:
      models: what judges; all know the same codes.
      names: of the models, to tell them apart.
    """

    def __init__(self, models: Sequence[FrozenReward], names: Sequence[str] = ()):
        """Use `load`.

        Raises:
          InputError: the models were trained on different vocabularies or image tokenizers, or only some saw details.
        """
        self.models, self.names = tuple(models), tuple(names) or tuple(f"model {i}" for i in range(len(models)))
        first = self.models[0]
        for name, model in zip(self.names, self.models, strict=True):
            if (model.vocabulary, model.codes, model.text.digest) != (first.vocabulary, first.codes, first.text.digest):
                raise InputError(
                    f"{name}: trained on another vocabulary, or on codes of another tokenizer, than {self.names[0]}"
                )
            if model.details != first.details:
                raise InputError(f"{name}: one of {name} and {self.names[0]} has seen auxiliary codes, the other has not")

    @classmethod
    def load(cls, workdirs: Sequence[str | os.PathLike[str]], step: int | None = None) -> Self:
        """Loads runs of stage `reward`.

        Args:
          workdirs: their work folders, at least one.
          step: which checkpoint of each; default the newest that is sound.

        Raises:
          InputError: no such run or step, or runs that do not belong together.
        """
        return cls([load_reward(folder, step) for folder in workdirs], [os.fspath(folder) for folder in workdirs])

    @property
    def digest(self) -> str:
        """Tells one training of the same models from another."""
        return "+".join(fingerprint(model.params) for model in self.models)

    @property
    def details(self) -> bool:
        """Whether the models know images with their auxiliary codes; False: master codes alone."""
        return self.models[0].details

    def check_codes(self, codes: str, key: str) -> None:
        """Refuses to judge images of another image tokenizer; where either is not known, nothing can be said.

        Args:
          codes: digest of the tokenizer, or "".
          key: the setting that names the models, for the message.

        Raises:
          InputError: they are of another one.
        """
        own = self.models[0].codes
        if codes and own and codes != own:
            raise InputError(f"{key}: {self.names[0]} judges codes of another image tokenizer than the model's")

    def score(self, prompts: Sequence[str], codes: Sequence[ImageCodes]) -> np.ndarray:
        """Scores of images by each model, float32 `[models, images]`.

        Args:
          prompts: what each image was to show.
          codes: of each image, by the tokenizer that the models' data were coded with.

        Raises:
          InputError: codes that the models have no tokens for.
        """
        first = self.models[0]
        texts = first.text.encode_many(list(prompts))
        found = []
        for model in self.models:
            kind = row_kind(model.settings)
            rows = [judged_row(kind, text, own, model.vocabulary, model.length) for text, own in zip(texts, codes, strict=True)]
            judge = functools.partial(_compiled(model.settings, model.vocabulary), model.params)
            found.append(rows_in_batches(rows, model.settings, model.vocabulary, judge))
        return np.array(found, np.float32).reshape(len(self.models), len(texts))


@functools.cache
def _compiled(settings: FusionSettings, vocabulary: VocabularySettings) -> Any:
    """`(params, batch) → scores`, compiled once for all models of one kind."""
    model = RewardModel(settings, vocabulary.total)

    @jax.jit
    def score(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
        return cast(jax.Array, model.apply({"params": params}, batch))

    return score
