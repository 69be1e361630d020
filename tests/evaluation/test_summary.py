import json

import numpy as np
import pytest

from ugf_jax.evaluation import summary
from ugf_jax.evaluation.sample import pack_codes


def sample(row, master, full, aspect="4:3", scale=256, codes=(0, 1)):
    return {
        "row": row,
        "aspect": aspect,
        "scale": scale,
        "variants": {"master": {"psnr": master, "ssim": 0.5}, "full": {"psnr": full, "ssim": 0.9}},
        "codes": {"master": pack_codes(np.array(codes)), "auxiliary": pack_codes(np.array(codes) + 2)},
    }


@pytest.fixture
def samples():
    return [
        sample(0, 10.0, 14.0),
        sample(1, 20.0, 24.0, "1:1", codes=(0, 0)),
        sample(2, 30.0, 34.0, "1:1", 512) | {"rates": {"0": {"psnr": 30.0}, "0.5": {"psnr": 33.0}}},
        {"row": 3, "rejected": "truncated"},
    ]


def test_means_errors_and_counts(samples):
    overall = summary.summarize(samples, {"master": 4, "auxiliary": 8})["reconstruction"]
    assert overall["master"]["psnr"].value == 20.0
    assert overall["master"]["psnr"].stderr == pytest.approx(10 / np.sqrt(3))
    assert overall["full"]["psnr_gain"].value == 4.0
    assert overall["full"]["psnr_gain"].stderr == 0.0  # each image gains the same, however different the images are
    assert overall["images"]["rejected"].value == 0.25
    assert overall["images"]["rejected"].n == 4


def test_codebooks_are_counted_over_all_images(samples):
    overall = summary.summarize(samples, {"master": 4, "auxiliary": 8})["reconstruction"]
    assert overall["codebook_master"]["usage"].value == 0.5
    share = np.array([4, 2]) / 6
    assert overall["codebook_master"]["perplexity"].value == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    assert overall["codebook_auxiliary"]["usage"].value == 0.25
    assert overall["codebook_auxiliary"]["usage"].n == 6


def test_shapes_partition_the_images(samples):
    shapes = summary.summarize(samples, {"master": 4, "auxiliary": 8})["reconstruction_by_shape"]
    assert shapes["full/1:1"]["psnr"].value == 29.0
    assert shapes["full/1:1@512"]["psnr"].n == 1
    assert shapes["master/@256"]["psnr"].value == 15.0
    for variant in ("master", "full"):
        groups = {k.split("/")[1]: v["psnr"].n for k, v in shapes.items() if k.startswith(variant)}
        assert sum(n for k, n in groups.items() if k.startswith("@")) == 3
        assert sum(n for k, n in groups.items() if "@" not in k) == 3


def test_json_has_the_documented_form(samples):
    results = summary.to_json(summary.summarize(samples, {"master": 4, "auxiliary": 8}))
    assert results["reconstruction"]["full"]["psnr"] == {"value": 24.0, "stderr": pytest.approx(10 / np.sqrt(3)), "n": 3}
    assert results["reconstruction_by_rate"]["keep=0.5"]["psnr"] == {"value": 33.0, "stderr": None, "n": 1}
    json.dumps(results, allow_nan=False)
