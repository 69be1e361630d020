import dataclasses
import json

import numpy as np
import pytest
from etils import epath

from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.errors import InputError
from ugf_jax.evaluation import reconstruction
from ugf_jax.evaluation.metrics import psnr, ssim
from ugf_jax.evaluation.reconstruction import ReconstructionSettings
from ugf_jax.evaluation.sample_log import SampleLog

SETTINGS = ReconstructionSettings(rate_images=6, codecs=("jpeg",), batch_pixels=3 * 64 * 64)


def run(tokenizer, dataset, path, settings=SETTINGS):
    return reconstruction.measure(tokenizer, dataset, settings, SampleLog(epath.Path(path), {"a": 1}), quiet=True)


@pytest.fixture(scope="module")
def whole(dataset, make_tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "samples.jsonl"
    return run(make_tokenizer(), dataset, path), path


def test_every_image_is_measured_once_and_the_damaged_one_is_named(whole, dataset):
    samples, path = whole
    assert [s["row"] for s in samples] == np.flatnonzero(dataset.heights).tolist()
    rejected = [s for s in samples if "rejected" in s]
    assert [s["key"] for s in rejected] == ["damaged"]
    assert "variants" not in rejected[0]
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert sorted(line["row"] for line in lines) == [s["row"] for s in samples]


def test_figures_are_those_of_each_image_alone_at_its_native_size(whole, dataset, make_tokenizer, drawings):
    by_key = {s["key"]: s for s in whole[0]}
    tokenizer = make_tokenizer()
    for i in (1, 5, 8, 19):
        image, sample = drawings[i], by_key[f"drawing-{i}"]
        height, width, _ = image.shape
        assert (sample["height"], sample["width"]) == (height, width)
        bottom, right = (c - s for c, s in zip(sample["canvas"], (height, width), strict=True))
        codes = tokenizer.encode(np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="edge")[None])
        for name, levels in (("master", 0), ("full", None)):
            pixels = tokenizer.decode(codes, (height, width), levels)[0]
            assert sample["variants"][name]["psnr"] == psnr(pixels, image)
            assert sample["variants"][name]["ssim"] == ssim(pixels, image)
        bits = tokenizer.bits(codes[0])
        assert sample["variants"]["full"]["bytes"] == np.ceil(sum(bits.values()) / 8)
        assert sample["variants"]["full"]["bits_per_pixel"] == pytest.approx(sum(bits.values()) / (height * width))
        assert sample["variants"]["master"]["tokens"] == 16


def test_rates_go_from_master_to_full(whole):
    rated = [s for s in whole[0] if "rates" in s]
    assert len(rated) >= 6
    for sample in rated:
        assert list(sample["rates"]) == ["0", "0.125", "0.25", "0.5", "0.75", "1"]
        tokens = [r["auxiliary_tokens"] for r in sample["rates"].values()]
        assert tokens[0] == 0
        assert tokens == sorted(tokens)
        assert tokens[-1] == sample["variants"]["full"]["tokens"] - sample["variants"]["master"]["tokens"]
        assert sample["rates"]["0"]["psnr"] == sample["variants"]["master"]["psnr"]
        assert sample["rates"]["1"]["psnr"] == sample["variants"]["full"]["psnr"]


@pytest.mark.parametrize("kill_after", [1, 4, 9])
def test_a_killed_evaluation_continues_and_ends_with_the_same_log(whole, dataset, make_tokenizer, tmp_path, kill_after):
    class Killed(Exception):
        pass

    tokenizer = make_tokenizer()
    encode, calls = tokenizer.encode, []

    def failing(images, keep=None):
        calls.append(1)
        if len(calls) > 2 * kill_after:
            raise Killed
        return encode(images, keep)

    tokenizer.encode = failing
    path = tmp_path / "samples.jsonl"
    with pytest.raises(Killed):
        run(tokenizer, dataset, path)
    before = path.read_bytes()
    path.write_bytes(before[:-7] if before.count(b"\n") > 1 else before)  # a line half written
    again = make_tokenizer()
    assert run(again, dataset, path) == whole[0]
    assert sorted(path.read_bytes().splitlines()) == sorted(whole[1].read_bytes().splitlines())
    finished = make_tokenizer()
    assert run(finished, dataset, path) == whole[0]
    assert finished.calls == 0


def test_limit_counts_images_spread_over_the_data(dataset, make_tokenizer, tmp_path):
    samples = run(make_tokenizer(), dataset, tmp_path / "s.jsonl", dataclasses.replace(SETTINGS, limit=5, rate_images=0))
    rows = [s["row"] for s in samples]
    assert len(rows) == 5
    assert rows[0] < 4
    assert rows[-1] > 14
    assert not any("rates" in s for s in samples)


def test_data_without_images_are_refused(make_tokenizer, tmp_path):
    empty = write_dataset(tmp_path / "text", [Record(key="a", captions=("no image",))])
    with pytest.raises(InputError, match="no images to evaluate"):
        run(make_tokenizer(), empty, tmp_path / "s.jsonl")
