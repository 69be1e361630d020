import numpy as np
import pytest
from etils import epath

from ugf_jax.data import shapes
from ugf_jax.errors import InputError
from ugf_jax.evaluation import generation, generation_report
from ugf_jax.evaluation.generation import DrawingSettings
from ugf_jax.evaluation.sample_log import SampleLog

SETTINGS = DrawingSettings(prompts=42, sizes=((128, 128), (96, 160)), batch=8)


def evaluate(model, folder, settings=SETTINGS):
    folder.mkdir(exist_ok=True)
    log = SampleLog(epath.Path(folder / "samples.jsonl"), {})
    return generation.measure(model, settings, log, epath.Path(folder / "pictures"), quiet=True)


@pytest.fixture(scope="module")
def runs(make_oracle, tmp_path_factory):
    """Samples, results and folder by what the model does: all right, or each prompt's picture for another prompt."""
    found = {}
    for name, wrong in (("right", 0), ("wrong", 1)):
        folder = tmp_path_factory.mktemp(name)
        samples = evaluate(make_oracle(wrong=wrong), folder)
        found[name] = samples, generation.summarize(samples), epath.Path(folder / "pictures")
    return found


def test_an_oracle_is_right_in_everything_and_a_shuffled_one_hardly_ever(runs):
    right = runs["right"][1]
    for groups in right.values():
        for figures in groups.values():
            assert all(e.value == 1 for e in figures.values())
    assert set(right["generation"]["all"]) == {"correct", "object", "score", *generation.ATTRIBUTES}
    wrong = runs["wrong"][1]["generation"]["all"]
    assert wrong["correct"].value < 0.1
    assert wrong["object"].value < 0.2
    assert wrong["score"].value < 0.7


def test_categories_are_drawn_in_every_size_and_each_prompt_counts_once(runs):
    samples, results, _ = runs["right"]
    assert [s["row"] for s in samples] == list(range(42))
    assert {(s["category"], s["height"]) for s in samples} == {(c, h) for c in shapes.CATEGORIES for h in (128, 96)}
    assert sum(f["correct"].n for f in results["generation_by_category"].values()) == 42
    assert {name: f["correct"].n for name, f in results["generation_by_size"].items()} == {"128x128": 21, "160x96": 21}
    assert all(s["prompt"] == shapes.prompt(s["row"])[0] for s in samples)


def test_batches_are_of_one_size_and_no_two_pictures_share_a_seed(make_oracle, tmp_path):
    model = make_oracle()
    evaluate(model, tmp_path)
    assert max(count for _, count, _, _ in model.calls) == 8
    seeds = [seed + i for _, count, _, seed in model.calls for i in range(count)]
    assert len(set(seeds)) == 42
    before = len(model.calls)
    evaluate(model, tmp_path)
    assert len(model.calls) == before


def test_one_attribute_that_is_wrong_is_wrong_alone():
    text, requirement, scene = next(p for p in map(shapes.prompt_and_scene, range(50)) if p[1].category == "single")
    item = scene.objects[0]
    other = shapes.Scene(scene.background, (shapes.Item("cross", item.colour, item.x, item.y, item.diameter),))
    assert item.shape != "cross", text
    sample = generation.check(shapes.draw(other, 128, 128), requirement)
    assert sample["right"] == {"shape": False, "colour": True, "count": True}
    assert "cross" in sample["objects"][0]


def test_a_picture_of_another_size_is_refused(make_oracle, tmp_path):
    model = make_oracle()
    model.generate_image = lambda prompts, size, seed: [np.zeros((8, 8, 3), np.uint8)] * len(prompts)
    with pytest.raises(InputError, match=r"a picture is \(8, 8, 3\), asked for \(128, 128, 3\)"):
        evaluate(model, tmp_path)


def test_the_report_shows_the_figures_and_pictures_right_and_wrong(runs):
    for name, (samples, results, pictures) in runs.items():
        section = generation_report.figures_section(results, SETTINGS)
        assert section.cards[0].value == f"{100 * results['generation']['all']['correct'].value:.1f}"
        assert all(len(row) == len(t.columns) for t in section.tables for row in t.rows)
        assert [row[0] for row in section.tables[1].rows] == ["128x128", "160x96"]
        gallery = generation_report.gallery_section(samples, pictures)
        assert len(gallery.exhibits) == len(shapes.CATEGORIES)
        notes = [p.note for e in gallery.exhibits for p in e.pictures]
        prompts = {s["prompt"] for s in samples}
        assert all(p.name in prompts for e in gallery.exhibits for p in e.pictures)
        if name == "right":
            assert set(notes) == {"right"}
        else:
            assert sum(n.startswith("wrong: ") and "found" in n for n in notes) > len(notes) / 2
        assert "42 prompts" in generation_report.summary_line(results)


def test_pictures_that_are_gone_are_missed_in_one_line(runs, tmp_path):
    with pytest.raises(InputError, match="draw the pictures again"):
        generation_report.gallery_section(runs["right"][0], epath.Path(tmp_path))
