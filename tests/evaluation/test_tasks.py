import json

import jax.numpy as jnp
import pytest

from ugf_jax.errors import InputError
from ugf_jax.evaluation import tasks
from ugf_jax.training.digests import fingerprint


@pytest.fixture
def load(monkeypatch, make_tokenizer):
    """Makes runs load a block tokenizer of the step asked for; returns those loaded."""
    loaded = []

    def fake(workdir, step=None):
        loaded.append(make_tokenizer(7 if step is None else step))
        return loaded[-1]

    monkeypatch.setattr(tasks.ImageTokenizer, "load", fake)
    return loaded


def evaluate(dataset, tmp_path, **options):
    tmp_path.mkdir(exist_ok=True)
    return tasks.evaluate(["reconstruction"], tmp_path, dataset.folder, tmp_path, command="ugf evaluate", quiet=True, **options)


def test_results_say_what_was_evaluated_and_a_second_call_gives_the_same(dataset, load, tmp_path):
    results, summaries = evaluate(dataset, tmp_path, limit=8)
    assert results["reconstruction"]["full"]["psnr"]["value"] > results["reconstruction"]["master"]["psnr"]["value"]
    assert results["reconstruction"]["full"]["psnr"]["n"] in (7, 8)
    run = results["run"]
    assert run["tasks"] == {"reconstruction": tasks.TASKS["reconstruction"].version}
    assert run["checkpoint"]["step"] == 7
    assert run["dataset"]["fingerprint"] == dataset.fingerprint
    assert {"jax", "python"} <= set(run["versions"])
    assert "PSNR of" in summaries[0]
    json.dumps(results, allow_nan=False)
    page = (tmp_path / "report.html").read_text()
    again, _ = evaluate(dataset, tmp_path, limit=8)
    assert again == results
    assert (tmp_path / "report.html").read_text() == page
    assert load[1].calls < load[0].calls  # only the pictures were made again


def test_another_checkpoint_starts_over(dataset, load, tmp_path):
    evaluate(dataset, tmp_path, limit=4)
    results, _ = evaluate(dataset, tmp_path, limit=4, step=9)
    assert results["run"]["checkpoint"]["step"] == 9
    assert (tmp_path / "reconstruction" / "samples.jsonl.old").exists()
    assert len((tmp_path / "reconstruction" / "samples.jsonl").read_text().splitlines()) == 5


def test_unknown_tasks_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"no task 'reconstuction', did you mean 'reconstruction'\?; known: reconstruction"):
        tasks.find(["reconstuction"])
    with pytest.raises(InputError, match="--tasks is empty"):
        tasks.find([])


def test_fingerprint_sees_values_names_and_shapes():
    trees = [{"a": jnp.ones(4)}, {"a": jnp.ones(4).at[2].set(2)}, {"b": jnp.ones(4)}, {"a": jnp.ones((2, 2))}]
    assert len({fingerprint(t) for t in trees}) == 4
    assert fingerprint({"a": jnp.ones(4)}) == fingerprint(trees[0])
