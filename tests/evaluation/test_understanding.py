import pytest
from etils import epath

from ugf_jax.errors import InputError
from ugf_jax.evaluation import understanding, understanding_report
from ugf_jax.evaluation.sample_log import SampleLog
from ugf_jax.evaluation.understanding import QuestionSettings, normal


def evaluate(model, dataset, folder, **settings):
    log = SampleLog(epath.Path(folder / "samples.jsonl"), {})
    return understanding.measure(model, dataset, QuestionSettings(**settings), log, quiet=True)


@pytest.fixture(scope="module")
def runs(make_oracle, scenes, tmp_path_factory):
    """Samples of a model that knows all, and of one that gives the answer to the next question."""
    return {w: evaluate(make_oracle(wrong=w), scenes, tmp_path_factory.mktemp(str(w))) for w in (0, 1)}


def test_an_oracle_is_right_in_everything_and_a_shuffled_one_seldom(runs, scenes):
    results = understanding.summarize(runs[0])
    assert results["understanding"]["all"]["exact_match"].value == 1
    assert all(f["exact_match"].value == 1 for f in results["understanding_by_kind"].values())
    asked = sum(len(r.questions) for r in scenes.records() if r.scene)
    assert results["understanding"]["all"]["exact_match"].n == asked
    assert results["understanding"]["images"]["rejected"].value > 0
    assert understanding.summarize(runs[1])["understanding"]["all"]["exact_match"].value < 0.25


def test_the_majority_is_what_the_commonest_answer_reaches(runs):
    samples = [
        {"kind": "k", "answer": a, "right": r} for a, r in (("yes", True), ("Yes.", False), ("no", False), ("yes", True))
    ] + [{"kind": "j", "answer": "3", "right": False}]
    results = understanding.summarize(samples)
    assert results["understanding_by_kind"]["k"]["majority"].value == 0.75
    assert results["understanding_by_kind"]["k"]["exact_match"].value == 0.5
    assert results["understanding"]["all"]["majority"].value == 0.8


@pytest.mark.parametrize(
    ("said", "means"),
    [(" The  Red circle. ", "red circle"), ("A", "a"), ("an orange star!", "orange star"), ("theta", "theta"), ("", "")],
)
def test_what_does_not_matter_in_an_answer(said, means):
    assert normal(said) == means


def test_other_answers_stay_others():
    assert normal("red circles") != normal("red circle")
    assert normal("not red") != normal("red")


def test_every_image_has_all_its_questions_asked_in_batches(make_oracle, scenes, tmp_path):
    model = make_oracle()
    samples = evaluate(model, scenes, tmp_path, limit=6, batch=4)
    assert max(count for _, count in model.calls) <= 4
    asked = {}
    for sample in samples:
        asked.setdefault(sample["record"], []).append(sample["kind"])
    assert len(asked) == 6
    for number, kinds in asked.items():
        assert kinds == [q["kind"] for q in scenes.record(number).questions]


def test_data_without_questions_are_refused(make_oracle, dataset, tmp_path):
    with pytest.raises(InputError, match="no questions about images"):
        evaluate(make_oracle(), dataset, tmp_path)


def test_gain_is_paired(runs):
    right, wrong = runs[0], runs[1]
    gain = understanding.paired_gain(right, wrong)
    shares = [understanding.summarize(r)["understanding"]["all"]["exact_match"] for r in (right, wrong)]
    assert gain["all"]["gain"].value == pytest.approx(shares[0].value - shares[1].value)
    assert understanding.paired_gain(right, right)["all"]["gain"].value == 0
    with pytest.raises(InputError, match="different questions"):
        understanding.paired_gain(right, wrong[:-1])


def test_the_report_shows_answers_right_and_wrong(runs, scenes):
    for wrong, samples in runs.items():
        results = understanding.summarize(samples)
        section = understanding_report.figures_section(results)
        assert section.cards[-1].remark.endswith("could not be read")
        assert [row[0] for row in section.tables[0].rows] == list(results["understanding_by_kind"])
        gallery = understanding_report.gallery_section(samples, scenes)
        notes = [p.note for e in gallery.exhibits for p in e.pictures]
        assert any("(wrong: " in n for n in notes) == bool(wrong)
        assert any(n.endswith("(right)") for n in notes)
        assert "questions: " in understanding_report.summary_line(results)


def test_nothing_readable_is_said_so():
    results = understanding.summarize([{"kind": "k", "rejected": "truncated"}])
    assert "all" not in results["understanding"]
    assert "No image" in understanding_report.figures_section(results).introduction
    assert "no image could be read" in understanding_report.summary_line(results)
