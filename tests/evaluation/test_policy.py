"""Task `policy`: a model before and after feedback."""

import dataclasses
import json

import numpy as np
import pytest
from etils import epath

from ugf_jax.data import shapes
from ugf_jax.data.records import ImageCodes
from ugf_jax.errors import InputError
from ugf_jax.evaluation import policy, policy_report
from ugf_jax.evaluation.job import Job
from ugf_jax.evaluation.policy import PolicyTaskSettings
from ugf_jax.evaluation.policy_task import run_policy
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.generation.unified_model import Drawing

SETTINGS = PolicyTaskSettings(prompts=14, samples=2, size=(96, 96), batch=4)
BLANK = np.full((96, 96, 3), 128, np.uint8)
SCENES = {text: scene for text, _, scene in (shapes.prompt_and_scene(row, "test") for row in range(SETTINGS.prompts))}


class Model:
    """Of each prompt it draws so many pictures right; master codes differ in half of the places, or in none."""

    def __init__(self, right, varied=True):
        self.right, self.varied, self.calls = right, varied, []

    def draw(self, prompts, size, seeds, how, count):
        self.calls.append((tuple(seeds), how.guidance))
        return [[self.one(prompt, sample) for sample in range(count)] for prompt in prompts]

    def one(self, prompt, sample):
        picture = shapes.draw(SCENES[prompt], 96, 96) if sample < self.right else BLANK
        codes = np.array([[0, sample * self.varied], [1, 2 * sample * self.varied]])
        return Drawing(BLANK, picture, ImageCodes(codes, (), (), (96, 96)), 0.0)


def evaluate(before, after, folder):
    folder.mkdir(exist_ok=True)
    log = SampleLog(epath.Path(folder / "samples.jsonl"), {})
    return policy.measure({"before": before, "after": after}, SETTINGS, log, epath.Path(folder / "pictures"), quiet=True)


def test_the_gain_is_that_of_the_same_prompts_and_seeds(tmp_path):
    before, after = Model(0), Model(1, varied=False)
    samples = evaluate(before, after, tmp_path)
    results = policy.summarize(samples)["policy"]
    assert [results[side]["correct"].value for side in ("before", "after", "gain")] == [0, 0.5, 0.5]
    assert results["gain"]["correct"].stderr == 0
    assert [results[side]["diversity"].value for side in ("before", "after")] == [0.5, 0]
    assert before.calls == after.calls
    assert sorted(seed for seeds, _ in before.calls for seed in seeds) == list(range(14))
    line = policy_report.summary_line({"policy": results})
    assert "0.0 ± 0.0 % right before, 50.0 ± 0.0 % after, gain 50.0 ± 0.0 points; diversity 0 %" in line


def test_equal_models_gain_nothing_and_a_killed_task_goes_on(tmp_path):
    samples = evaluate(Model(1), Model(1), tmp_path)
    assert policy.summarize(samples)["policy"]["gain"]["score"].value == 0
    again = Model(0)
    assert evaluate(again, again, tmp_path) == samples
    assert not again.calls


def test_the_report_shows_both_sides_and_the_curves(tmp_path):
    samples = evaluate(Model(0), Model(2), tmp_path)
    gallery = policy_report.gallery_section(samples, epath.Path(tmp_path / "pictures"))
    assert len(gallery.exhibits) == 12
    notes = [[picture.note for picture in exhibit.pictures] for exhibit in gallery.exhibits]
    assert notes == [["wrong; 0 of 2 pictures right", "right; 2 of 2 pictures right"]] * 12
    curve = np.arange(3.0), np.array([0.1, 0.2, 0.4])
    names = [
        ("train", "reward/checker"),
        ("validation", "reward/checker"),
        ("validation", "held_out/right"),
        ("train", "kl/after"),
    ]
    plots = policy_report.curves_section(dict.fromkeys(names, curve)).plots
    assert [plot.title for plot in plots] == ["Rewards", "Held-out rewards", "Divergence"]
    assert "checker, held-out prompts" in plots[0].svg


def test_a_run_and_the_model_made_of_it_are_compared(tiny_model, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = {"stage": "rlhf", "algorithm": "ppo", "model": str(tiny_model), "sampler": {"guidance": 1.0}, "details": False}
    (run / "config.json").write_text(json.dumps(config))
    folders = {"feedback": epath.Path(run), "improved": epath.Path(tiny_model)}
    job = Job(None, None, None, epath.Path(tmp_path), limit=2, quiet=True, **folders)
    outcome = run_policy(job)
    assert outcome.results["policy"]["gain"]["diversity"].value == 0
    assert outcome.sections[0].title == "Feedback: before and after PPO"
    (run / "config.json").write_text(json.dumps(config | {"stage": "reward"}))
    with pytest.raises(InputError, match="a run of stage 'reward'; task policy wants one of stage 'rlhf'"):
        run_policy(job)
    with pytest.raises(InputError, match=r"no config\.json of a training run"):
        run_policy(dataclasses.replace(job, feedback=epath.Path(tmp_path / "none")))
    with pytest.raises(InputError, match="--improved=FOLDER is needed"):
        run_policy(dataclasses.replace(job, improved=None))
