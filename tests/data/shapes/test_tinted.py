import hashlib
import json

import pytest

from ugf_jax.data.shapes import aligned, graph, prompt, tinted
from ugf_jax.data.shapes.splits import split_of_pair
from ugf_jax.errors import InputError

# SHA-256 of the scenes and captions of the first fifty examples: data sets made by different machines must agree.
GOLDEN = "309ff6afb4eed9ab"


def scenes(count=400, split="train"):
    return [tinted.scene(index, split) for index in range(count)]


def test_examples_never_change():
    digest = hashlib.sha256()
    for index in range(50):
        record = tinted.example(index, max_side=64)
        digest.update(json.dumps([record.key, record.sizes, record.scene, record.captions]).encode())
    assert digest.hexdigest()[:16] == GOLDEN


def test_every_shape_has_every_tint_and_three_of_four_colours_are_tints():
    items = [item for scene in scenes(1500) for item in scene.objects]
    pairs = {(item.shape, item.colour) for item in items if item.colour in graph.TINTS}
    assert len(pairs) == len(graph.SHAPES) * len(graph.TINTS)
    assert sum(item.colour in graph.TINTS for item in items) / len(items) == pytest.approx(0.75, abs=0.03)


def test_what_is_alike_stays_alike_and_what_is_not_does_not():
    for index, scene in enumerate(scenes(60)):
        plain = aligned.scene(tinted._FIRST + index)
        assert [(o.shape, o.x, o.y, o.diameter) for o in scene.objects] == [
            (o.shape, o.x, o.y, o.diameter) for o in plain.objects
        ]
        assert [[a.colour == b.colour for a in scene.objects] for b in scene.objects] == [
            [a.colour == b.colour for a in plain.objects] for b in plain.objects
        ]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_what_another_split_holds_out_does_not_occur(split):
    known = {split_of_pair(o.shape, o.colour) for s in scenes(split=split) for o in s.objects if o.colour in graph.COLOURS}
    assert known == {"train", split}


def test_codes_of_all_colours_differ_and_no_prompt_names_a_tint():
    colours = graph.COLOURS | graph.TINTS | graph.BACKGROUNDS
    assert len({tuple(round(value / 255 * 4) for value in colour) for colour in colours.values()}) == len(colours)
    words = {word for index in range(300) for word in prompt(index, "train")[0].split()}
    assert not words & set(graph.TINTS)


def test_splits_that_are_none_are_refused():
    with pytest.raises(InputError, match="no split 'holiday'"):
        tinted.scene(0, "holiday")
