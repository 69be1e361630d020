import numpy as np
import pytest
from etils import epath

from ugf_jax.evaluation import likelihood, likelihood_report
from ugf_jax.evaluation.likelihood import LikelihoodSettings, ratio
from ugf_jax.evaluation.metrics import estimate
from ugf_jax.evaluation.sample_log import SampleLog


@pytest.fixture(scope="module")
def samples(make_oracle, scenes, tmp_path_factory):
    log = SampleLog(epath.Path(tmp_path_factory.mktemp("log") / "samples.jsonl"), {})
    model = make_oracle()
    found = likelihood.measure(model, scenes, LikelihoodSettings(batch=5), log, quiet=True)
    assert max(count for _, count in model.calls) <= 5
    return found


def test_bits_a_token_by_modality(samples):
    results = likelihood.summarize(samples)["likelihood"]
    assert results["image"]["bits_per_token"].value == pytest.approx(2)
    assert results["image"]["bits_per_token"].stderr == pytest.approx(0, abs=1e-9)
    assert results["text"]["bits_per_token"].value == pytest.approx(3)
    assert results["text"]["perplexity"].value == pytest.approx(8)
    assert results["image"]["tokens"].value == 2
    assert results["image"]["bits_per_token"].n == 24
    assert results["images"]["rejected"].value == pytest.approx(1 / 25)


def test_long_items_count_for_more():
    assert ratio(np.array([1.0, 9.0]), np.array([1.0, 3.0])).value == 2.5


def test_the_error_is_that_of_the_mean_where_items_are_equally_long_and_that_of_repetition_where_not():
    rng = np.random.default_rng(0)
    amounts = rng.normal(5, 2, 400)
    plain, same = estimate(amounts), ratio(amounts * 7, np.full(400, 7.0))
    assert (same.value, same.stderr) == pytest.approx((plain.value, plain.stderr))
    values = []
    for _ in range(400):
        counts = rng.integers(1, 20, 100).astype(float)
        values.append(ratio(counts * rng.normal(5, 2, 100), counts))
    assert np.std([v.value for v in values]) == pytest.approx(np.mean([v.stderr for v in values]), rel=0.15)
    assert ratio(np.array([3.0]), np.array([2.0])).stderr is None


def test_the_report_names_the_modalities(samples):
    results = likelihood.summarize(samples)
    section = likelihood_report.figures_section(results)
    assert [row[0] for row in section.tables[0].rows] == ["image, given its caption", "caption, given its image"]
    assert all(len(row) == len(section.tables[0].columns) for row in section.tables[0].rows)
    assert section.cards[0].value == "2.000"
    assert likelihood_report.summary_line(results).startswith("likelihood, bits a token: image 2.000")
