"""Stage `reward`: which of two images of a prompt people prefer (Bradley-Terry on a transformer that knows images and text).

It starts from a trained transformer and sees what that sees: the prompt, the master codes, and the details of the image at its
full resolution. What it learns is read from a run by `ugf_jax.training.frozen_reward`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax import config
from ugf_jax.data.preference_loader import PreferenceLoader, PreferenceSettings
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import BELOW_ONE
from ugf_jax.objectives.preference import Calibration, bradley_terry_loss, calibration, pair_accuracy
from ugf_jax.training import parameter_axes
from ugf_jax.training.data_source import DataSource
from ugf_jax.training.pretrained import Pretrained, find_pretrained
from ugf_jax.training.reward_model import DESCRIPTION, DRAWING, SIMILARITY, RewardModel, row_kind, without_vision
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stage import Batch, ModelState, Params, Stage

FRESH = {"score": 0.0, "similarity": SIMILARITY, "description": DESCRIPTION, "drawing": DRAWING}  # no transformer brings these
BINS = 5  # of confidence, each a tenth wide, in what is logged


@dataclasses.dataclass(frozen=True)
class Settings(TrainSettings):
    """A whole config of this stage."""

    stage: str = "reward"
    data: PreferenceSettings = config.setting(PreferenceSettings())
    model: str = config.setting("", doc="to start from: a model made by `ugf export`, or a run of stage unified")
    dropout: float = config.setting(0.0, BELOW_ONE, "of what each layer adds, while training")


def data(settings: Settings) -> DataSource:
    """Pairs of judged rows; see `PreferenceLoader`."""
    start = find_pretrained(settings.model)
    kind = row_kind(start.model)

    def open_loader(index: int, count: int) -> PreferenceLoader:
        loader = PreferenceLoader(settings.data, start.vocabulary, index, count, row=kind)
        check_data(start, loader)
        return loader

    def open_held_out(index: int, count: int) -> Any:
        evaluation = settings.evaluation
        if not evaluation.dataset:
            return ()
        own = dataclasses.replace(settings.data, datasets=(evaluation.dataset,), weights=(), pairs=evaluation.batch_size)
        loader = PreferenceLoader(own, start.vocabulary, index, count, endless=False, row=kind)
        check_data(start, loader)
        return loader.in_order(evaluation.limit)

    def count(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
        return {"pairs": len(arrays["weights"]), "tokens": int(np.count_nonzero(arrays["segments"]))}

    return DataSource(open_loader, open_held_out, count)


def check_data(start: Pretrained, loader: PreferenceLoader) -> None:
    """Refuses texts or codes that are not those that the model was trained on."""
    model, kind = start.model, loader.kind
    if start.text != loader.text.digest:
        raise InputError("config.data.text_tokenizer: not the text tokenizer that config.model was trained with")
    if start.codes and start.codes != loader.coded_by:
        raise InputError(
            "config.data.datasets: coded by another image tokenizer than the data that config.model was trained on; "
            "prepare them with the same --tokenize"
        )
    wanted = {"grid": (model.grid, kind.grid)}
    if model.cross_every:
        wanted |= {"groups": (model.memory.groups, kind.groups), "auxiliary": (model.memory.codes, kind.auxiliary)}
    for name, (ours, theirs) in wanted.items():
        if ours != theirs:
            raise InputError(f"config.data.datasets: codes with {name} {theirs}; config.model was trained on {name} {ours}")


def build(settings: Settings, start: Pretrained | None = None) -> Stage:
    """The stage as functions; `start` is what it starts from, None for that of the settings."""
    start = find_pretrained(settings.model) if start is None else start
    shape = without_vision(start.model, settings.dropout)
    model = RewardModel(shape, start.vocabulary.total)
    training_model = RewardModel(shape, start.vocabulary.total, train=True)

    def init(key: jax.Array, batch: Batch) -> tuple[Params, ModelState]:
        return model.init(key, rows_of(jax.tree.map(lambda x: x[:1], dict(batch))))["params"], {}

    def pretrained(abstract: Params) -> Params:
        def full(name: str, value: float) -> jax.Array:
            x = abstract[name]
            return jax.make_array_from_callback(x.shape, x.sharding, lambda index: np.full(x.shape, value, x.dtype)[index])

        fresh = {name: full(name, value) for name, value in FRESH.items() if name in abstract}
        return {"fusion": start.read(abstract["fusion"]), **fresh}

    def scores(params: Params, batch: Batch, key: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Those of winners and of losers, float32 `[pairs]` each."""
        chosen, rngs = (model, None) if key is None else (training_model, {"dropout": key})
        found = cast(jax.Array, chosen.apply({"params": params}, rows_of(batch), rngs=rngs)).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def loss(
        params: Params, state: ModelState, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[ModelState, dict[str, jax.Array]]]:
        winner, loser = scores(params, batch, key if settings.dropout else None)
        total = bradley_terry_loss(winner, loser, batch["weights"])
        metrics = {
            "loss/preference": total,
            "accuracy/pairs": jnp.mean(pair_accuracy(winner, loser)),
            "score/mean": jnp.mean(winner + loser) / 2,
            "score/margin": jnp.mean(jnp.abs(winner - loser)),
        }
        return total, (state, metrics)

    def evaluate(params: Params, state: ModelState, batch: Batch) -> dict[str, tuple[jax.Array, jax.Array]]:
        winner, loser = scores(params, batch)
        weights, right = batch["weights"], pair_accuracy(winner, loser)
        found = {
            "loss/preference": (jax.nn.softplus(loser - winner), weights),
            "accuracy/pairs": (right, weights),
            "accuracy/prompts": (right, batch["prompt_weights"]),
        }
        bins = calibration(winner, loser, weights, BINS)
        for name, sums in (("confidence", bins.confidence), ("right", bins.right)):
            means = sums / jnp.maximum(bins.weight, 1e-6)
            found |= {bin_name(name, i): (means[i], bins.weight[i]) for i in range(BINS)}
        return found

    def terms(params: Params, state: ModelState, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        return {"preference": bradley_terry_loss(*scores(params, batch), batch["weights"])}

    return Stage(
        "reward",
        init,
        loss,
        summarize,
        evaluate,
        None,
        parameter_axes.REWARD,
        terms,
        pretrained=pretrained,
        derive=calibration_error,
        about={"pretrained": start.to_json()},
    )


def rows_of(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Arrays `[pairs, 2, …]` as rows `[2 · pairs, …]`; what is not of rows is left out."""
    return {name: x.reshape(2 * x.shape[0], *x.shape[2:]) for name, x in batch.items() if x.ndim > 2}


def bin_name(what: str, number: int) -> str:
    """The measure of one bin of confidence, named by its middle: `calibration/bins/0.55_right`."""
    return f"calibration/bins/{0.5 + (number + 0.5) / (2 * BINS):.2f}_{what}"


def calibration_error(totals: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The expected calibration error, from the sums over all held-out pairs."""
    weight = [totals[bin_name("right", i)][1] for i in range(BINS)]
    confidence, right = ([totals[bin_name(name, i)][0] for i in range(BINS)] for name in ("confidence", "right"))
    bins = Calibration(*(np.asarray(x, np.float32) for x in (weight, confidence, right)))  # type: ignore[arg-type]
    return {"calibration/error": float(bins.error())}


def summarize(metrics: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics as they are."""
    return {name: float(value) for name, value in metrics.items()}, {}
