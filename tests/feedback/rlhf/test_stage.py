"""Whole runs of stage `rlhf`: they go on where they were stopped, and stop before they spoil what is kept."""

import dataclasses
import json

import flax.traverse_util
import jax
import numpy as np
import pytest
from etils import epath

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.feedback.rlhf import stage as rlhf
from ugf_jax.feedback.rlhf.settings import (
    DivergenceSettings,
    LimitSettings,
    LoraSettings,
    PPOSettings,
    RewardSettings,
    SamplerSettings,
    Settings,
    UpdateSettings,
)
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.training import sharding, stages, trainer
from ugf_jax.training.checkpoints import Checkpointer, restore_params, saved_arrays
from ugf_jax.training.optimizer import OptimizerSettings
from ugf_jax.training.settings import CheckpointSettings, EvaluationSettings
from ugf_jax.training.sharding import MeshSettings


def train(settings, judge, workdir):
    return trainer.train(settings, rlhf.build(settings, judge), rlhf.data(settings), epath.Path(workdir))


def arrays(workdir, step):
    """Every array of a checkpoint but the random key."""
    folder = workdir / "checkpoints"
    wanted = {
        tuple(name.split("/")): jax.ShapeDtypeStruct(shape, dtype)
        for name, (dtype, shape) in saved_arrays(folder, step).items()
        if not dtype.startswith("key")
    }
    _, restored = restore_params(folder, flax.traverse_util.unflatten_dict(wanted), step)
    return {"/".join(map(str, k)): np.asarray(v) for k, v in flax.traverse_util.flatten_dict(restored).items()}


def lines(workdir, kind):
    found = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    timed = ("time", "goodput", "memory_gb", "seconds_per_step", "images_per_second", "prompts_per_second")
    return [{k: v for k, v in line.items() if k not in timed} for line in found if line["kind"] == kind]


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped(make_settings, shares, tmp_path):
    settings = make_settings(
        steps=4,
        log_every=1,
        divergence=DivergenceSettings(target=1.0, horizon=200.0),
        lora=LoraSettings(rank=4),
        optimizer=OptimizerSettings(learning_rate=3e-3, warmup_steps=4, ema_decay=0.9, weight_decay=0.0),
        checkpoint=CheckpointSettings(every=2, keep=5),
        evaluation=EvaluationSettings(dataset="shapes:validation", every=2, limit=12, batch_size=8, samples=4),
    )
    whole = train(settings, shares(), tmp_path / "whole")

    class Killed(Exception):
        pass

    judge = shares()
    rewards, calls = judge.rewards, []

    def until_killed(*arguments):
        calls.append(None)
        if len(calls) > 4:
            raise Killed
        return rewards(*arguments)

    judge.rewards = until_killed  # in the rollout of the third step, after two of held-out prompts
    with pytest.raises(Killed):
        train(settings, judge, tmp_path / "parts")
    assert Checkpointer(tmp_path / "parts" / "checkpoints").steps() == [2]
    parts = train(settings, shares(), tmp_path / "parts")
    first, second = arrays(tmp_path / "whole", 4), arrays(tmp_path / "parts", 4)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert any(name.startswith("ema/lora") for name in first)
    assert not any("fusion" in name for name in first)  # what is frozen is not kept again and again
    assert lines(tmp_path / "whole", "train") == lines(tmp_path / "parts", "train")
    assert lines(tmp_path / "whole", "validation") == lines(tmp_path / "parts", "validation")
    assert whole["validation"] == parts["validation"]
    assert {"reward/checker", "diversity", "entropy"} <= set(whole["validation"])
    assert {"kl", "entropy", "diversity", "clipped/policy", "explained_variance", "coefficient"} <= set(whole["train"])
    names = sorted(p.name for p in (tmp_path / "whole" / "samples").iterdir())
    assert names == ["drawn-00000002.png", "drawn-00000004.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (LimitSettings(max_kl=0.3), r"nats a picture from the model that it started from; config\.limits\.max_kl is 0\.3"),
        (LimitSettings(min_entropy=2.0), r"entropy is 1\.\d+ nats a code; config\.limits\.min_entropy is 2"),
    ],
)
def test_a_limit_stops_the_run_and_the_last_good_state_is_kept(make_settings, shares, tmp_path, limits, message):
    settings = make_settings(
        limits=limits,
        rewards={"brightness": RewardSettings("brightness")},
        divergence=DivergenceSettings(coefficient=0.0),
        updates=UpdateSettings(epochs=2, minibatches=2),
        checkpoint=CheckpointSettings(every=1, keep=50),
    )
    judge = shares(brightness=lambda codes: (codes == 3).mean(axis=(1, 2)))
    with pytest.raises(InputError, match=message) as caught:
        train(settings, judge, tmp_path)
    last = lines(tmp_path, "train")[-1]
    kept = Checkpointer(tmp_path / "checkpoints").steps()
    assert f"stopped after step {last['step']}" in str(caught.value)
    assert kept == list(range(1, last["step"]))
    assert not (last["kl/after"] <= 0.3 and last["entropy/after"] >= 2.0)
    # What is kept is within the limit, and with a wider one the run goes on from it.
    wider = dataclasses.replace(settings, limits=LimitSettings(), steps=last["step"] + 1)
    assert train(wider, judge, tmp_path)["steps"] == last["step"] + 1


def test_every_parameter_has_its_place_on_the_mesh(make_settings, shares):
    for changes in ({}, {"lora": LoraSettings(rank=4)}, {"algorithm": "grpo"}):
        settings = make_settings(**changes)
        stage = rlhf.build(settings, shares())
        params, state = jax.eval_shape(lambda key, stage=stage: stage.init(key, {}), jax.random.key(0))
        mesh = sharding.make_mesh(MeshSettings(data=1, fsdp=4, tensor=2))
        sharding.tree_shardings((params, state), stage.parameter_axes, MeshSettings().rules, mesh)
        assert ("critic" in params) == (settings.algorithm == "ppo")
        assert set(state) == {"coefficient", "rewards"}


def test_the_stage_is_found_by_its_name_and_its_settings_have_no_surprises():
    found = stages.find("rlhf")
    assert (found.settings, found.build, found.data) == (Settings, rlhf.build, rlhf.data)
    assert config.parse(Settings, config.config_dict(Settings())) == Settings()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": UpdateSettings(minibatches=3)}, "want their product to divide the 64 pictures of a step"),
        ({"algorithm": "grpo", "sampler": SamplerSettings(samples=1)}, "samples is 1; grpo compares"),
        ({"ppo": PPOSettings(centred=True), "sampler": SamplerSettings(samples=1)}, "ppo.centred compares"),
        ({"rewards": {"a": RewardSettings(weight=0.0)}}, "none has a weight other than 0"),
        ({"rewards": {"a": RewardSettings("alignment")}}, "details is False; a reward of kind alignment"),
        ({"divergence": DivergenceSettings(0.0, target=1.0)}, "want a coefficient to adapt"),
        ({"divergence": DivergenceSettings(0.1, "loss", "k1")}, "its mean gradient is 0"),
        ({"sampler": SamplerSettings(image=SamplingSettings(temperature=0.0))}, "temperature is 0: nothing would be tried"),
        ({"lora": LoraSettings(targets="(")}, "is not a regular expression"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(make_settings, changes, message):
    with pytest.raises(InputError) as caught:
        config.parse(Settings, config.config_dict(make_settings(**changes)))
    assert message in str(caught.value)


def test_a_model_that_is_none_is_told(make_settings, shares):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        rlhf.build(make_settings(model="nowhere"), shares())
