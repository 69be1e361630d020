"""Stage `unified`: one transformer that reads and writes text and images, from documents of stored codes.

Objectives: the next token, of text and of master codes apart; a z-loss; and a contrastive loss between the embeddings of images
and of their captions, which stand in documents of their own. Each is reported alone.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax import config
from ugf_jax.config import NOT_NEGATIVE, one_of
from ugf_jax.data.document_loader import DocumentLoader, DocumentSettings, held_out
from ugf_jax.data.documents import CODE, NOTHING, TEXT
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.models.aligned_places import initial_params
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.objectives import language
from ugf_jax.objectives.contrastive import KINDS, contrastive_loss, retrieval
from ugf_jax.training import parameter_axes
from ugf_jax.training.data_source import DataSource
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stage import Batch, ModelState, Params, Stage
from ugf_jax.training.stages.tokenizer import to_float

Losses = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class UnifiedObjective:
    """What the transformer is trained for; an objective of weight 0 is not computed."""

    text: float = config.setting(1.0, NOT_NEGATIVE, "weight of the next token of text, averaged over trained text tokens")
    image: float = config.setting(1.0, NOT_NEGATIVE, "weight of the next master code, averaged over trained codes")
    z: float = config.setting(1e-5, NOT_NEGATIVE, "weight of the z-loss")
    joint: bool = config.setting(False, doc="one average over all trained tokens, of text and codes together")
    contrastive: float = config.setting(0.1, NOT_NEGATIVE, "weight of the contrastive loss")
    contrastive_kind: str = config.setting("sigmoid", one_of(*KINDS))
    logits_chunk: int = config.setting(0, NOT_NEGATIVE, "positions of a row whose logits exist at one time; 0: all")
    skip_untrained: bool = config.setting(False, doc="no logits of chunks without trained tokens; pays where these are few")


@dataclasses.dataclass(frozen=True)
class Settings(TrainSettings):
    """A whole config of this stage."""

    stage: str = "unified"
    data: DocumentSettings = config.setting(DocumentSettings())
    vocabulary: VocabularySettings = config.setting(VocabularySettings())
    model: FusionSettings = config.setting(FusionSettings())
    objective: UnifiedObjective = config.setting(UnifiedObjective())

    def validate(self, path: str) -> None:
        """Refuses objectives without data, and data without an objective."""
        super().validate(path)
        weight, documents = self.objective.contrastive, self.data.recipes.tasks.contrastive
        if (weight > 0) != (documents > 0):
            raise InputError(
                f"{path}.objective.contrastive is {weight} and {path}.data.recipes.tasks.contrastive {documents}; "
                "want both 0 or both more"
            )
        if self.objective.skip_untrained and not self.objective.logits_chunk:
            raise InputError(f"{path}.objective.skip_untrained skips chunks; want {path}.objective.logits_chunk more than 0")
        levels = self.model.code_levels
        if levels and math.prod(levels) != self.vocabulary.codes:
            raise InputError(
                f"{path}.model.code_levels make {math.prod(levels)} codes; {path}.vocabulary.codes is {self.vocabulary.codes}"
            )
        if weight and not self.model.embedding:
            raise InputError(f"{path}.model.embedding is 0; the contrastive objective wants embeddings of some features")


def data(settings: Settings) -> DataSource:
    """Packed rows of documents; see `DocumentLoader`."""

    def open_loader(index: int, count: int) -> DocumentLoader:
        loader = DocumentLoader(settings.data, settings.vocabulary, index, count)
        check_codes(settings, loader)
        return loader

    def open_held_out(index: int, count: int) -> Any:
        evaluation = settings.evaluation
        if not evaluation.dataset:
            return ()
        chosen = dataclasses.replace(
            settings.data, datasets=(evaluation.dataset,), weights=(), serves=(), rows=evaluation.batch_size
        )
        batches = -(-evaluation.limit // evaluation.batch_size)
        return held_out(chosen, settings.vocabulary, batches, index, count)

    return DataSource(
        open=open_loader,
        held_out=open_held_out,
        count=lambda arrays: {"tokens": int(np.count_nonzero(arrays["segments"]))},
    )


def check_codes(settings: Settings, loader: DocumentLoader) -> None:
    """Refuses a model whose sizes are not those of the stored codes."""
    model = settings.model
    if loader.master_grid != model.grid:
        raise InputError(f"config.model.grid is {model.grid}; the data's images have {loader.master_grid} master codes a side")
    for name, found in (("groups", loader.auxiliary_groups), ("codes", loader.auxiliary_codebook)):
        if model.cross_every and getattr(model.memory, name) != found:
            raise InputError(
                f"config.model.memory.{name} is {getattr(model.memory, name)}; the data's auxiliary codes have {found}"
            )


def build(settings: Settings) -> Stage:
    """The stage as functions."""
    objective = settings.objective
    vocabulary = settings.vocabulary.total
    axes = (*parameter_axes.FUSION, *parameter_axes.VISION) if settings.model.vision else parameter_axes.FUSION
    first = settings.vocabulary.first_code
    model = FusionTransformer(settings.model, vocabulary, first_code=first)
    training_model = FusionTransformer(settings.model, vocabulary, train=True, first_code=first)

    def init(key: jax.Array, batch: Batch) -> tuple[Params, ModelState]:
        return initial_params(model, key, jax.tree.map(lambda x: x[:1], dict(batch))), {}

    def call(params: Params, *arguments: Any, method: str) -> Any:
        return model.apply({"params": params}, *arguments, method=method)

    def forward(params: Params, batch: Batch, key: jax.Array | None) -> tuple[language.TokenLosses, jax.Array]:
        """Losses of tokens 1 … and hidden states."""
        chosen, rngs = (model, None) if key is None else (training_model, {"dropout": key})
        memory = call(params, batch, method="remember") if settings.model.cross_every else None
        seen = call(params, to_float(batch["crops"]), batch["features"], method="see") if "crops" in batch else None
        hidden = cast(jax.Array, chosen.apply({"params": params}, Tokens.of(batch), memory, seen, rngs=rngs))
        kernel = call(params, method="output_kernel")
        targets = batch["tokens"][:, 1:]
        wanted = batch["kinds"][:, 1:] != NOTHING if objective.skip_untrained else None
        return language.token_losses(hidden[:, :-1], kernel, targets, objective.logits_chunk, wanted), hidden

    def embeddings(params: Params, batch: Batch, hidden: jax.Array) -> tuple[jax.Array, ...]:
        """Embeddings of images and texts `[pairs, features]`, which pairs there are, and scale and bias."""
        pairs = batch["pairs"]
        at = jnp.take_along_axis(hidden, jnp.maximum(pairs, 0).reshape(len(pairs), -1, 1), axis=1)
        at = at.reshape(-1, 2, hidden.shape[-1])
        image, text, contrast = call(params, at[:, 0], at[:, 1], method="embeddings")
        return image, text, pairs.reshape(-1, 2)[:, 0] >= 0, contrast

    def losses(params: Params, batch: Batch, key: jax.Array | None) -> tuple[Losses, Losses]:
        """Each active objective, and what else is worth knowing."""
        tokens, hidden = forward(params, batch, key)
        weights = kinds(batch)
        found = {name: language.mean(tokens.nll, weight) for name, weight in weights.items()}
        if objective.joint:
            share = {name: jnp.sum(weight) for name, weight in weights.items()}
            total = jnp.maximum(sum(share.values(), jnp.zeros(())), 1e-6)
            found = {name: value * share[name] / total for name, value in found.items()}
        found["z"] = language.z_loss(tokens.log_z, weights["text"] + weights["image"])
        others = {f"accuracy/{name}": language.mean(tokens.correct, weight) for name, weight in weights.items()}
        if objective.contrastive:
            image, text, valid, contrast = embeddings(params, batch, hidden)
            found["contrastive"] = contrastive_loss(image, text, valid, contrast, objective.contrastive_kind)
            others["contrastive/pairs"] = jnp.sum(valid.astype(jnp.float32))
        if settings.model.cross_every:
            others["gate"] = jnp.mean(jnp.abs(jnp.tanh(params["layers"]["gate"])))
        return {name: value for name, value in found.items() if getattr(objective, name)}, others

    def loss(
        params: Params, state: ModelState, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[ModelState, dict[str, jax.Array]]]:
        found, others = losses(params, batch, key if settings.model.dropout else None)
        total = sum((getattr(objective, name) * value for name, value in found.items()), jnp.zeros(()))
        return total, (state, {f"loss/{name}": value for name, value in found.items()} | others)

    def evaluate(params: Params, state: ModelState, batch: Batch) -> dict[str, tuple[jax.Array, jax.Array]]:
        tokens, hidden = forward(params, batch, None)
        found: dict[str, tuple[jax.Array, jax.Array]] = {}
        for name, weight in kinds(batch).items():
            found |= {f"nll/{name}": (tokens.nll, weight), f"accuracy/{name}": (tokens.correct, weight)}
        if objective.contrastive:
            image, text, valid, _ = embeddings(params, batch, hidden)
            found["retrieval"] = retrieval(image, text, valid), valid
        return found

    def terms(params: Params, state: ModelState, batch: Batch, key: jax.Array) -> Losses:
        return losses(params, batch, None)[0]

    return Stage("unified", init, loss, summarize, evaluate, None, axes, terms)


def kinds(batch: Batch) -> dict[str, jax.Array]:
    """Weights float32 `[batch, positions - 1]` of the predicted tokens, of text and of master codes."""
    targets = batch["kinds"][:, 1:]
    return {"text": (targets == TEXT).astype(jnp.float32), "image": (targets == CODE).astype(jnp.float32)}


def summarize(metrics: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics as they are."""
    return {name: float(value) for name, value in metrics.items()}, {}
