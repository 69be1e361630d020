"""Stage `unitoken`: the transformer on UniToken's documents, with the features of a vision tower in the sequence.

The original has three of these, which differ in data, learning rates and what is trained: experiments/unitoken_stage*.py. Its
loss is one average over all trained tokens and a z-loss. With auxiliary memory (`model.cross_every`) the two designs are one.
"""

import dataclasses
from typing import Any

import numpy as np

from ugf_jax import config
from ugf_jax.data.unitoken.loader import UniTokenData, UniTokenLoader
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.models.vision import VisionSettings
from ugf_jax.training.data_source import DataSource
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stage import Stage
from ugf_jax.training.stages import unified
from ugf_jax.training.stages.unified import UnifiedObjective

# Chameleon-7B, as tuned by Lumina-mGPT, with the SigLIP tower; without memory.
UNITOKEN_7B = FusionSettings(
    width=4096,
    depth=32,
    heads=32,
    hidden=11_008,
    qk_norm="layer",
    cross_every=0,
    embedding=0,
    grid=32,
    vision=VisionSettings(dtype="bfloat16", remat=True),
    dtype="bfloat16",
    remat=True,
)


@dataclasses.dataclass(frozen=True)
class Settings(TrainSettings):
    """A whole config of this stage."""

    stage: str = "unitoken"
    data: UniTokenData = config.setting(UniTokenData())
    vocabulary: UniTokenVocabulary = config.setting(UniTokenVocabulary())
    model: FusionSettings = config.setting(UNITOKEN_7B)
    objective: UnifiedObjective = config.setting(UnifiedObjective(joint=True, contrastive=0.0, z=1e-5))

    def validate(self, path: str) -> None:
        """Refuses parts that do not go together."""
        super().validate(path)
        if self.objective.contrastive:
            raise InputError(f"{path}.objective.contrastive is {self.objective.contrastive}; this stage has no pairs: want 0")
        seen, tower = self.data.vision, self.model.vision
        if (seen is None) != (tower is None):
            raise InputError(f"{path}.data.vision and {path}.model.vision: one is None; want both or neither")
        if seen and tower and (seen.size, seen.patch) != (tower.image_size, tower.patch):
            raise InputError(
                f"{path}.data.vision has crops of {seen.size} pixels and patches of {seen.patch}; {path}.model.vision "
                f"{tower.image_size} and {tower.patch}: want the same"
            )
        if bool(self.data.auxiliary) != bool(self.model.cross_every):
            raise InputError(
                f"{path}.data.auxiliary is {self.data.auxiliary} and {path}.model.cross_every {self.model.cross_every}; "
                "want both 0 or both more"
            )
        if self.model.cross_every and self.data.groups != self.model.memory.groups:
            raise InputError(f"{path}.data.groups is {self.data.groups}; want {path}.model.memory.groups")


def data(settings: Settings) -> DataSource:
    """Rows of one document each, or of several; see `UniTokenLoader`. Held-out documents have a row each."""

    def open_loader(index: int, count: int) -> UniTokenLoader:
        return UniTokenLoader(settings.data, settings.vocabulary, index, count)

    def open_held_out(index: int, count: int) -> Any:
        evaluation = settings.evaluation
        if not evaluation.dataset:
            return
        rows = evaluation.batch_size
        chosen = dataclasses.replace(settings.data, datasets=(evaluation.dataset,), weights=(), rows=rows)
        chosen = dataclasses.replace(chosen, caption_dropout=0.0, packed=False)
        loader = UniTokenLoader(chosen, settings.vocabulary, index, count)
        stream = loader.iterate()
        try:
            for _ in range(min(-(-evaluation.limit // rows), loader.batches_per_epoch)):
                yield next(stream)
        finally:
            stream.close()

    return DataSource(
        open=open_loader,
        held_out=open_held_out,
        count=lambda arrays: {"tokens": int(np.count_nonzero(arrays["segments"]))},
    )


def build(settings: Settings) -> Stage:
    """The stage as functions: those of stage `unified`, whose batches may have crops."""
    return dataclasses.replace(unified.build(settings), name="unitoken")  # type: ignore[arg-type]
