import numpy as np
import pytest
from etils import epath

from ugf_jax.evaluation import retrieval, retrieval_report
from ugf_jax.evaluation.retrieval import RetrievalSettings, pack, ranks, unpack
from ugf_jax.evaluation.sample_log import SampleLog


def evaluate(model, dataset, folder, **settings):
    log = SampleLog(epath.Path(folder / "samples.jsonl"), {})
    return retrieval.measure(model, dataset, RetrievalSettings(**settings), log, quiet=True)


@pytest.fixture(scope="module")
def runs(make_oracle, scenes, tmp_path_factory):
    return {w: evaluate(make_oracle(wrong=w), scenes, tmp_path_factory.mktemp(str(w))) for w in (0, 1)}


def unit(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_an_oracle_finds_everything_and_a_shuffled_one_nothing(runs):
    right, wrong = (retrieval.summarize(runs[w])["retrieval"] for w in (0, 1))
    for direction in ("image_to_text", "text_to_image"):
        assert right[direction]["recall@1"].value == 1
        assert right[direction]["recall@1"].n == 24
        assert wrong[direction]["recall@1"].value == 0
        assert right[direction]["median_rank"].value == 1
    assert right["images"]["rejected"].value == pytest.approx(1 / 25)


def test_ranks_are_those_of_a_sorted_list():
    rng = np.random.default_rng(0)
    a, b = unit(rng, 50, 8), unit(rng, 50, 8)
    expected = [1 + np.argsort(-(b @ q)).tolist().index(i) for i, q in enumerate(a)]
    assert ranks(a, b, np.arange(50)).tolist() == expected


def test_chance_finds_what_chance_does():
    rng = np.random.default_rng(1)
    found = ranks(unit(rng, 2000, 16), unit(rng, 2000, 16), np.arange(2000))
    assert abs(np.median(found) - 1000) < 100
    assert (found <= 100).mean() == pytest.approx(0.05, abs=0.02)


def test_embeddings_that_are_all_alike_find_nothing():
    same = np.ones((30, 4)) / 2
    assert (ranks(same, same, np.arange(30)) == 30).all()


def test_equal_captions_stand_for_each_other():
    images = np.eye(3)
    texts = 0.8 * images[[1, 0, 2]] + 0.6 * images
    assert ranks(texts, images, np.array([0, 1, 2])).tolist() == [2, 2, 1]
    assert ranks(texts, images, np.array([0, 0, 2])).tolist() == [1, 1, 1]


def test_a_vector_survives_the_log():
    vector = np.random.default_rng(0).normal(size=7).astype(np.float32)
    assert np.array_equal(unpack(pack(vector)), vector)


def test_the_longest_caption_is_searched_in_batches(make_oracle, scenes, tmp_path):
    model = make_oracle()
    samples = evaluate(model, scenes, tmp_path, limit=10, batch=4)
    assert len(samples) == 10
    assert all(len(s["caption"]) == max(map(len, scenes.record(s["row"]).captions)) for s in samples if "rejected" not in s)
    assert max(count for _, count in model.calls) <= 4


def test_the_report_shows_neighbours_of_captions_found_and_missed(runs, scenes):
    for wrong, samples in runs.items():
        section = retrieval_report.figures_section(retrieval.summarize(samples))
        assert [len(row) for row in section.tables[0].rows] == [5, 5, 5]
        assert section.tables[0].rows[-1][:2] == ("by chance", "4.2")
        shown = retrieval_report.neighbours_section(samples, scenes)
        *captions, images = shown.exhibits
        assert len(captions) == 4
        assert all(e.pictures[0].name == ("1" if wrong else "1 · its image") for e in captions)
        assert all((e.remark == "its image comes in place 1") != bool(wrong) for e in captions)
        assert len(images.pictures) == 6
        assert all((p.note == "its caption") != bool(wrong) for p in images.pictures)
        assert "among 24" in retrieval_report.summary_line(retrieval.summarize(samples))


def test_nothing_readable_is_said_so():
    results = retrieval.summarize([{"row": 0, "key": "a", "rejected": "truncated"}])
    assert "No image" in retrieval_report.figures_section(results).introduction
    assert "no image could be read" in retrieval_report.summary_line(results)
