"""Rewards look at pictures: each by its own rule, named where it cannot be found or says no number."""

import sys
import types

import numpy as np
import pytest

from ugf_jax.data import shapes
from ugf_jax.errors import InputError
from ugf_jax.feedback.rlhf.judge import PictureJudge, Pictures, brightness, checker, find_reward, right
from ugf_jax.feedback.rlhf.prompts import Prompt
from ugf_jax.feedback.rlhf.settings import RewardSettings
from ugf_jax.generation.reward_scorer import RewardScorer
from ugf_jax.training.bundle import load_bundle
from ugf_jax.training.frozen_reward import FrozenReward

RNG = np.random.default_rng(0)


def test_the_checker_finds_what_a_prompt_requires():
    text, requirement, scene = shapes.prompt_and_scene(0, "train")
    pictures = [shapes.draw(scene, 96, 96), np.full((96, 96, 3), 255, np.uint8)]
    judged = Pictures([Prompt(text, requirement)] * 2, [], pictures)
    good, bad = checker(judged)
    assert good == 1
    assert bad < 0.7
    np.testing.assert_array_equal(right(judged), [1, 0])
    with pytest.raises(InputError, match="does not know what 'a dog' requires"):
        checker(Pictures([Prompt("a dog")], [], pictures[:1]))


def test_brightness_says_nothing_of_the_prompt():
    pictures = [np.full((4, 4, 3), value, np.uint8) for value in (0, 51, 255)]
    np.testing.assert_allclose(brightness(Pictures([Prompt("x")] * 3, [], pictures)), [0, 0.2, 1])


def test_any_function_of_prompts_and_pictures_is_a_reward(monkeypatch):
    module = types.ModuleType("my_rewards")
    module.widths = lambda prompts, pictures: [len(prompt) + p.shape[1] for prompt, p in zip(prompts, pictures, strict=True)]
    module.one = lambda prompts, pictures: 1.0
    monkeypatch.setitem(sys.modules, "my_rewards", module)
    pictures = Pictures([Prompt("ab"), Prompt("c")], [], [np.zeros((4, n, 3), np.uint8) for n in (5, 6)])
    assert find_reward(RewardSettings("function", "my_rewards:widths"), "path")(pictures).tolist() == [7, 7]
    with pytest.raises(InputError, match=r"path: my_rewards:one gave \(\); want a finite number for each of 2"):
        find_reward(RewardSettings("function", "my_rewards:one"), "path")(pictures)


@pytest.mark.parametrize("source", ["", "nowhere", "nowhere:f", "math:nothing"])
def test_a_function_that_is_not_there_is_told(source):
    with pytest.raises(InputError, match=r"config\.rewards\.mine\.source is '.*want module:function"):
        find_reward(RewardSettings("function", source), "config.rewards.mine")


def test_a_learned_reward_wants_a_run():
    with pytest.raises(InputError, match=r"mine\.source is empty; want the work folder of a run of stage reward"):
        find_reward(RewardSettings("learned"), "config.rewards.mine")


@pytest.mark.parametrize("trained", [True, False])
def test_a_learned_reward_judges_what_it_was_trained_on(monkeypatch, trained):
    run = FrozenReward(None, None, types.SimpleNamespace(digest=""), {}, 8, "", trained, 1, {})
    monkeypatch.setattr(RewardScorer, "load", lambda _: RewardScorer([run]))
    find_reward(RewardSettings("learned", "runs/a"), "config.rewards.mine", details=trained)
    with pytest.raises(InputError, match=rf"rewards\.mine\.source: .* want config\.details to be {trained}"):
        find_reward(RewardSettings("learned", "runs/a"), "config.rewards.mine", details=not trained)


def test_pictures_are_the_models_in_the_order_and_size_asked_for(tiny_model):
    seen = []
    judge = PictureJudge(load_bundle(tiny_model), {"brightness": RewardSettings("brightness")}, details=False)
    judge.functions["seen"] = lambda pictures: seen.append(pictures) or np.zeros(len(pictures.pixels))
    masters = RNG.integers(0, 16, (3, 2, 2))
    sizes = [(16, 16), (24, 40), (16, 16)]
    found = judge.rewards([Prompt(str(i)) for i in range(3)], masters, sizes)
    assert [p.shape for p in seen[0].pixels] == [(16, 16, 3), (24, 40, 3), (16, 16, 3)]
    np.testing.assert_allclose(found["brightness"], [p.mean() / 255 for p in seen[0].pixels], rtol=1e-6)
    for number in range(3):
        alone = judge.paint(masters[number : number + 1], sizes[number : number + 1])[0]
        np.testing.assert_array_equal(alone, seen[0].pixels[number])
        np.testing.assert_array_equal(seen[0].codes[number].master, masters[number])


@pytest.mark.slow
def test_details_are_drawn_where_they_are_wanted(tiny_model):
    judge = PictureJudge(load_bundle(tiny_model), {}, details=True)
    judge.functions["seen"] = lambda pictures: np.array([len(codes.auxiliary) for codes in pictures.codes])
    assert judge.rewards([Prompt("x")] * 2, RNG.integers(0, 16, (2, 2, 2)), [(16, 16)] * 2)["seen"].min() >= 1
