import json

import numpy as np

from ugf_jax.evaluation.history import read_history, thin


def test_curves_are_read_by_kind_and_the_later_line_counts(tmp_path):
    lines = [
        {"step": 10, "time": 1.0, "kind": "train", "loss": 3.0, "note": "text"},
        {"step": 20, "time": 2.0, "kind": "train", "loss": None},
        {"step": 30, "time": 3.0, "kind": "train", "loss": 1.0, "psnr/full": 20.0},
        {"step": 30, "time": 3.0, "kind": "validation", "psnr/full": 18.0},
        {"step": 20, "time": 4.0, "kind": "train", "loss": 2.0},
        {"step": 10, "time": 5.0, "kind": "train", "loss": 2.5},
        ["not", "an", "object"],
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 40, "lo')
    history = read_history(path)
    assert set(history) == {("train", "loss"), ("train", "psnr/full"), ("validation", "psnr/full")}
    steps, values = history["train", "loss"]
    assert (steps.tolist(), values.tolist()) == ([10, 20, 30], [2.5, 2.0, 1.0])


def test_no_file_no_curves(tmp_path):
    assert read_history(tmp_path / "metrics.jsonl") == {}


def test_thinning_keeps_the_mean_and_the_limit():
    steps = np.arange(1003, dtype=float)
    x, y = thin((steps, 2 * steps), 100)
    assert len(x) == len(y) <= 100
    np.testing.assert_allclose(y, 2 * x)
    counts = np.full(len(x), 11)
    counts[-1] = 1003 - 11 * (len(x) - 1)
    np.testing.assert_allclose((y * counts).sum() / 1003, 2 * steps.mean())
    assert thin((steps[:50], steps[:50]), 100)[0] is not None
    np.testing.assert_array_equal(thin((steps[:50], steps[:50]), 100)[0], steps[:50])
