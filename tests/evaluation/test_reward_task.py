"""The task `reward` from work folders to the page; the judges are stand-ins."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError
from ugf_jax.evaluation import reward_task, tasks
from ugf_jax.training.digests import fingerprint
from ugf_jax.training.frozen_reward import FrozenReward


class Scorer:
    """Thinks the better of an image the larger its first code; each model, named by its folder, by other steps."""

    def __init__(self, workdirs, step):
        self.names = tuple(map(str, workdirs))
        params = {"scale": jnp.arange(1.0, len(self.names) + 1)}
        self.models = [FrozenReward(None, None, None, params, 8, "", True, step or 7, {"stage": "reward"})]
        self.digest = fingerprint(params)

    def score(self, prompts, codes):
        return np.stack([(1 + i) * np.array([float(c.master[0, 0]) for c in codes]) for i in range(len(self.names))])


@pytest.fixture
def preferences(tmp_path, monkeypatch):
    monkeypatch.setattr(reward_task.RewardScorer, "load", lambda workdirs, step: Scorer(workdirs, step))
    records = []
    for i in range(6):
        codes = tuple(ImageCodes(np.array([[n]]), (), (), (32, 32)) for n in (3, 1, 2))
        records.append(Record(f"{i}", captions=(f"prompt {i}",), codes=codes, pairs=((0, 1, 1.0), (2, 0, 1.0))))
    return write_dataset(tmp_path / "data", records)


def evaluate(data, output, **options):
    output.mkdir(exist_ok=True)
    return tasks.evaluate(["reward"], "runs/a", data, output, command="ugf evaluate", quiet=True, **options)


def test_an_ensemble_makes_one_page(preferences, tmp_path):
    results, (line,) = evaluate(preferences.folder, tmp_path / "out", ensemble=["runs/b", "runs/c"], step=5)
    assert results["reward"]["all"]["accuracy"] == {"value": 0.5, "stderr": 0.0, "n": 6}
    assert {"runs/a", "runs/b", "runs/c", "ensemble"} <= set(results["reward"])
    assert results["run"]["checkpoint"]["step"] == 5
    assert results["run"]["dataset"]["images"] == 18
    assert line.startswith("reward, 6 prompts: 50.0 ± 0.0 % right")
    json.dumps(results, allow_nan=False)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Reward: which image is preferred" in page
    assert "Calibration" in page
    again, _ = evaluate(preferences.folder, tmp_path / "out", ensemble=["runs/b", "runs/c"], step=5)
    assert again == results
    alone, _ = evaluate(preferences.folder, tmp_path / "out", limit=3)
    assert alone["reward"]["all"]["accuracy"]["n"] == 3
    assert (tmp_path / "out" / "reward" / "samples.jsonl.old").exists()


def test_a_run_and_data_are_needed(preferences, tmp_path):
    with pytest.raises(InputError, match="--data=FOLDER is needed"):
        evaluate(None, tmp_path / "out")
    with pytest.raises(InputError, match="--workdir=FOLDER is needed"):
        tasks.evaluate(["reward"], None, preferences.folder, tmp_path / "out", quiet=True)
