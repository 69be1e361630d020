import re

import numpy as np
import pytest
from etils import epath

from ugf_jax.evaluation import reconstruction, reconstruction_report
from ugf_jax.evaluation.metrics import Estimate
from ugf_jax.evaluation.reconstruction import ReconstructionSettings
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.summary import summarize

SETTINGS = ReconstructionSettings(rate_images=6, codecs=("jpeg",))


@pytest.fixture(scope="module")
def evaluated(dataset, make_tokenizer, tmp_path_factory):
    path = epath.Path(tmp_path_factory.mktemp("log") / "samples.jsonl")
    tokenizer = make_tokenizer()
    samples = reconstruction.measure(tokenizer, dataset, SETTINGS, SampleLog(path, {}), quiet=True)
    return tokenizer, samples, summarize(samples, {"master": 256, "auxiliary": 256})


def test_figures_shown_are_those_of_the_results(evaluated):
    results = evaluated[2]
    section = reconstruction_report.headline_section(results, SETTINGS.codecs)
    full = results["reconstruction"]["full"]["psnr"]
    assert (section.cards[0].value, section.cards[0].after) == (f"{full.value:.2f}", f"± {full.stderr:.2f} dB")
    assert section.cards[-1].remark == "1 could not be read"
    table = section.tables[0]
    assert [row[0] for row in table.rows] == [
        reconstruction_report.LABELS[n] for n in ("master", "full", "jpeg", "jpeg_resized")
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.rows[1][1] == f"{full.value:.2f} ± {full.stderr:.2f}"


def test_every_shape_has_a_row_and_every_table_fits(evaluated):
    section = reconstruction_report.detail_section(evaluated[2])
    shapes = {k.split("/")[1] for k in evaluated[2]["reconstruction_by_shape"]}
    rows = section.tables[0].rows
    assert len(rows) == len({s for s in shapes if s.startswith("@") or "@" not in s})
    assert all(len(row) == len(t.columns) for t in section.tables for row in t.rows)
    assert [p.title for p in section.plots][:2] == ["Rate and distortion: PSNR", "Rate and distortion: SSIM"]


def test_pictures_show_at_least_six_aspect_ratios_with_the_logged_figures(evaluated, dataset):
    tokenizer, samples, _ = evaluated
    section = reconstruction_report.gallery_section(tokenizer, dataset, SETTINGS, samples)
    assert len({e.title for e in section.exhibits}) >= 6
    assert [re.sub(" ·.*", "", e.remark) for e in section.exhibits[-3:]] == ["best of all", "median of all", "worst of all"]
    by_key = {s["key"]: s for s in samples}
    for exhibit in section.exhibits:
        sample = by_key[exhibit.remark.split(" · ")[1]]
        names = [p.name for p in exhibit.pictures]
        assert names == [
            "original",
            "master",
            "master + auxiliary",
            "residual of the master",
            "what remains",
            "JPEG, same bytes",
        ]
        assert {(p.width, p.height) for p in exhibit.pictures} == {(sample["width"], sample["height"])}
        assert exhibit.pictures[2].note.startswith(f"{sample['variants']['full']['psnr']:.1f} dB")


def test_training_shows_what_was_logged():
    steps = np.arange(1.0, 5)
    history = {
        ("validation", "psnr/full"): (steps, steps),
        ("train", "loss/master"): (steps, steps),
        ("train", "lr"): (steps, steps),
    }
    section = reconstruction_report.training_section(history)
    assert [p.title for p in section.plots] == ["PSNR on validation images", "Loss"]
    assert reconstruction_report.training_section({}) is None


def test_figures_are_written_with_their_error():
    assert reconstruction_report.with_error(Estimate(20.516, 0.305, 9), 2, "dB") == "20.52 ± 0.30 dB"
    assert reconstruction_report.with_error(Estimate(0.5, None, 1), 3) == "0.500"
