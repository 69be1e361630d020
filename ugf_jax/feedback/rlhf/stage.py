"""Stage `rlhf`: a trained generator is trained on, by rewards or by preferences."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.data.preference_loader import PreferenceLoader
from ugf_jax.data.text import TextTokenizer
from ugf_jax.feedback.rlhf.distribution import Distribution
from ugf_jax.feedback.rlhf.judge import Judge, PictureJudge
from ugf_jax.feedback.rlhf.policy import Policy
from ugf_jax.feedback.rlhf.preferring import PreferenceSteps
from ugf_jax.feedback.rlhf.prompts import Encoder, PromptLoader, open_prompts
from ugf_jax.feedback.rlhf.scores import Running
from ugf_jax.feedback.rlhf.settings import Settings
from ugf_jax.feedback.rlhf.steps import PolicySteps
from ugf_jax.feedback.rlhf.studio import Studio
from ugf_jax.generation.image_coder import ImageCoder
from ugf_jax.generation.image_tokenizer import ImageTokenizer
from ugf_jax.training.bundle import TEXT, digest, load_bundle, read_settings
from ugf_jax.training.data_source import DataSource
from ugf_jax.training.pretrained import Pretrained, find_pretrained
from ugf_jax.training.stage import Batch, ModelState, Params, Stage
from ugf_jax.training.stages.reward import check_data

__all__ = ["Settings", "build", "data"]


def data(settings: Settings) -> DataSource:
    """Prompts (PPO and GRPO) or stored preferences (DPO)."""
    return _preferences(settings) if settings.algorithm == "dpo" else _prompts(settings)


def _prompts(settings: Settings) -> DataSource:
    def loader(source: str, count: int, path: str, index: int, processes: int) -> PromptLoader:
        own = dataclasses.replace(settings.prompts, count=count)
        return PromptLoader(own, open_prompts(source, path), encoder(settings), index, processes)

    def open_loader(index: int, count: int) -> PromptLoader:
        found = loader(settings.prompts.source, settings.prompts.count, "config.prompts.source", index, count)
        found.identity["model"] = model_digest(settings.model)
        return found

    def open_held_out(index: int, count: int) -> Any:
        evaluation = settings.evaluation
        if not evaluation.dataset:
            return ()
        found = loader(evaluation.dataset, evaluation.batch_size, "config.evaluation.dataset", index, count)
        return found.held_out(evaluation.limit)

    def count(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
        return {"prompts": len(arrays["row"]), "images": len(arrays["row"]) * settings.sampler.samples}

    return DataSource(open_loader, open_held_out, count)


def _preferences(settings: Settings) -> DataSource:
    start = find_pretrained(settings.model)

    def open_loader(index: int, count: int) -> PreferenceLoader:
        loader = PreferenceLoader(settings.data, start.vocabulary, index, count)
        check_data(start, loader)
        loader.identity["model"] = model_digest(settings.model)
        return loader

    def open_held_out(index: int, count: int) -> Any:
        evaluation = settings.evaluation
        if not evaluation.dataset:
            return ()
        own = dataclasses.replace(settings.data, datasets=(evaluation.dataset,), weights=(), pairs=evaluation.batch_size)
        loader = PreferenceLoader(own, start.vocabulary, index, count, endless=False)
        check_data(start, loader)
        return loader.in_order(evaluation.limit)

    def count(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
        return {"pairs": len(arrays["weights"])}

    return DataSource(open_loader, open_held_out, count)


def model_digest(folder: str) -> str:
    """Tells what a run started from and is compared with from another model in the same place."""
    if not (pathlib.Path(folder) / TEXT).is_file():
        return f"step {find_pretrained(folder).step}"
    return digest(folder)


def encoder(settings: Settings) -> Encoder:
    """How prompts become arrays for `config.model`.

    Raises:
      InputError: it is no exported model; pictures need its image tokenizer.
    """
    bundle = read_settings(settings.model)
    coder = ImageCoder(ImageTokenizer(bundle.tokenizer, {}), bundle.grids)
    grids = tuple(coder.grid(*size) for size in settings.prompts.sizes)
    text = TextTokenizer.load(f"{settings.model}/{TEXT}")
    return Encoder(text, bundle.vocabulary, settings.prompts.length, grids)


def build(settings: Settings, judge: Judge | None = None, start: Pretrained | None = None) -> Stage:
    """The stage as functions.

    Args:
      settings: of the run.
      judge: what pictures are worth; None for the rewards of the settings.
      start: what it starts from; None for that of the settings.
    """
    start = find_pretrained(settings.model) if start is None else start
    policy = Policy(settings, start)
    stage = Stage(
        name="rlhf",
        init=functools.partial(_init, policy),
        loss=_inside,
        summarize=summarize,
        evaluate=_inside,
        sample=None,
        parameter_axes=policy.axes,
        pretrained=policy.pretrained,
        updates=settings.updates_per_step,
        stop=functools.partial(limit_crossed, settings),
        about={"pretrained": start.to_json()},
    )
    return _with_preferences(stage, policy) if settings.algorithm == "dpo" else _with_rewards(stage, policy, judge)


def _with_preferences(stage: Stage, policy: Policy) -> Stage:
    sampling = dataclasses.replace(policy.settings.sampler.image, top_k=0, top_p=1.0)
    steps = PreferenceSteps(policy.settings, policy, distribution(policy.settings, policy.start, sampling))

    def evaluate(params: Params, state: ModelState, batch: Batch) -> Any:
        return steps.evaluate(params, batch)

    return dataclasses.replace(stage, evaluate=evaluate, advance=functools.partial(steps.advance, stage=stage))


def _with_rewards(stage: Stage, policy: Policy, judge: Judge | None) -> Stage:
    settings = policy.settings
    if judge is None:
        judge = PictureJudge(load_bundle(settings.model), settings.rewards, settings.details, settings.seed)
    studio = Studio(settings, policy, distribution(settings, policy.start, settings.sampler.image), judge)
    steps = PolicySteps(studio, open_prompts(settings.prompts.source))
    held_out = settings.evaluation.dataset and open_prompts(settings.evaluation.dataset, "config.evaluation.dataset")

    def evaluate(params: Params, state: ModelState, batch: Batch) -> Any:
        assert held_out
        return studio.evaluate(held_out, params, batch)

    def sample(params: Params, state: ModelState, batch: Batch) -> Any:
        return studio.sample(params, batch)

    return dataclasses.replace(stage, evaluate=evaluate, sample=sample, advance=functools.partial(steps.advance, stage=stage))


def distribution(settings: Settings, start: Pretrained, sampling: Any) -> Distribution:
    """What a run draws from, or takes the likelihood of."""
    return Distribution(start.model, start.vocabulary, settings.sampler.guidance, sampling)


def _init(policy: Policy, key: jax.Array, batch: Batch) -> tuple[Params, ModelState]:
    settings = policy.settings
    running = {name: Running.fresh() for name, reward in settings.rewards.items() if reward.weight}
    if settings.algorithm == "dpo":
        return policy.init(key), {}
    return policy.init(key), {"coefficient": jnp.float32(settings.divergence.coefficient), "rewards": running}


def _inside(*_: Any) -> NoReturn:
    raise NotImplementedError("the host leads the steps of this stage; see `Stage.advance`")


def limit_crossed(settings: Settings, metrics: Mapping[str, np.ndarray]) -> str | None:
    """Which limit the policy has crossed, or None."""
    limits = settings.limits
    if limits.max_kl and not float(metrics["kl/after"]) <= limits.max_kl:
        return (
            f"the policy is {float(metrics['kl/after']):.4g} nats a picture from the model that it started from; "
            f"config.limits.max_kl is {limits.max_kl:g}"
        )
    if limits.min_entropy and not float(metrics["entropy/after"]) >= limits.min_entropy:
        return (
            f"the policy's entropy is {float(metrics['entropy/after']):.4g} nats a code; "
            f"config.limits.min_entropy is {limits.min_entropy:g}"
        )
    return None


def summarize(metrics: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics as they are."""
    return {name: float(value) for name, value in metrics.items()}, {}
