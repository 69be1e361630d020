import hashlib
import json

import numpy as np
import pytest

from ugf_jax.data.shapes import graph
from ugf_jax.data.shapes.fine import busy, draw
from ugf_jax.data.shapes.fine.graph import FineScene, Outline, Writing
from ugf_jax.data.shapes.graph import Item, Scene
from ugf_jax.data.shapes.sampling import apart
from ugf_jax.data.shapes.splits import split_of_pair
from ugf_jax.data.sources import open_sources
from ugf_jax.errors import InputError

# SHA-256 of the scenes and answers of the first fifty examples: data sets made by different machines must agree.
GOLDEN = "b97b42ecdc480a8c"


def test_examples_never_change():
    digest = hashlib.sha256()
    for index in range(50):
        record = busy.example(index, max_side=64)
        digest.update(json.dumps([record.key, record.sizes, record.scene, record.questions]).encode())
    assert digest.hexdigest()[:16] == GOLDEN


def test_the_answer_names_every_object_row_by_row():
    items = (
        Item("ring", "red", 0.9, 0.51, 0.18),
        Item("star", "blue", 0.55, 0.13, 0.27),
        Item("cross", "pink", 0.13, 0.52, 0.36),
    )
    fine = FineScene(Scene("white", items), (Outline(0, "green", 0.008),), (Writing("K", 2, 0.0, 0.0, 0.05, "black"),), ())
    assert busy.listing(fine) == "2 5 medium blue star; 5 2 large pink cross, K; 5 8 small red ring, green outline"


def test_pictures_hold_many_objects_of_every_look_anywhere():
    scenes = [busy.scene(index) for index in range(200)]
    items = [item for fine in scenes for item in fine.scene.objects]
    assert np.mean([len(fine.scene.objects) for fine in scenes]) > 5
    assert {(i.shape, i.size) for i in items} == {(shape, size) for shape in graph.SHAPES for size in graph.SIZES}
    assert {int(i.x * busy.LINES) for i in items} == {int(i.y * busy.LINES) for i in items} == set(range(busy.LINES))
    assert np.mean([bool(fine.outlines) and bool(fine.writings) for fine in scenes]) > 0.9


def test_objects_stand_apart_and_their_details_are_seen():
    for index in range(30):
        fine = busy.scene(index)
        objects = fine.scene.objects
        assert all(apart(a, b) for i, a in enumerate(objects) for b in objects[:i])
        bare = FineScene(fine.scene, (), (), ())
        assert bool(fine.outlines or fine.writings) == bool((draw(fine, 256, 256) != draw(bare, 256, 256)).any())


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_colours_of_shapes_that_other_splits_hold_out_do_not_occur(split):
    pairs = {split_of_pair(o.shape, o.colour) for index in range(60) for o in busy.scene(index, split).scene.objects}
    assert pairs == {"train", split}


def test_prepare_knows_them_and_asks_one_question():
    source = open_sources("busy:3@64")["train"]
    (unit,) = source.units()
    examples = list(source.examples(unit))
    assert [[q["question"] for q in example.questions] for example in examples] == [[busy.QUESTION]] * 3
    assert [example.captions for example in examples] == [()] * 3


def test_splits_that_are_none_are_refused():
    with pytest.raises(InputError, match="no split 'holiday'"):
        busy.scene(0, "holiday")
