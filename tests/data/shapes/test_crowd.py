import hashlib
import itertools
import json

import numpy as np
import pytest

from ugf_jax.data.shapes import aligned, crowd, draw, find, graph
from ugf_jax.data.shapes.sampling import apart
from ugf_jax.data.shapes.splits import split_of_pair
from ugf_jax.data.sources import open_sources
from ugf_jax.errors import InputError

# SHA-256 of the scenes of the first fifty examples: data sets made by different machines must agree.
GOLDEN = "fc921029ec4a0d9a"


def test_examples_never_change():
    digest = hashlib.sha256()
    for index in range(50):
        record = crowd.example(index, max_side=64)
        digest.update(json.dumps([record.key, record.sizes, record.scene]).encode())
    assert digest.hexdigest()[:16] == GOLDEN


def test_they_hold_many_small_objects_of_every_shape():
    scenes = [crowd.scene(index) for index in range(100)]
    items = [item for scene in scenes for item in scene.objects]
    assert np.mean([len(scene.objects) for scene in scenes]) > 2 * np.mean([len(aligned.scene(i).objects) for i in range(100)])
    assert {(item.shape, item.size) for item in items} == set(itertools.product(graph.SHAPES, ("small", "medium")))
    assert np.mean([item.size == "small" for item in items]) > 0.7


def test_objects_stand_apart_where_patches_meet_and_are_drawn_whole():
    for index in range(30):
        scene = crowd.scene(index)
        assert all(apart(a, b) for i, a in enumerate(scene.objects) for b in scene.objects[:i])
        assert {(value * aligned.GRID) % 1 for item in scene.objects for value in (item.x, item.y)} == {0}
        found = find(draw(scene, 256, 256)).scene
        assert sorted((o.shape, o.colour) for o in found.objects) == sorted((o.shape, o.colour) for o in scene.objects)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_colours_of_shapes_that_other_splits_hold_out_do_not_occur(split):
    pairs = {split_of_pair(o.shape, o.colour) for index in range(60) for o in crowd.scene(index, split).objects}
    assert pairs == {"train", split}


def test_prepare_knows_them_and_they_have_no_words():
    source = open_sources("crowd:3@64")["train"]
    (unit,) = source.units()
    examples = list(source.examples(unit))
    assert [example.captions for example in examples] == [()] * 3
    assert [example.questions for example in examples] == [()] * 3


def test_splits_that_are_none_are_refused():
    with pytest.raises(InputError, match="no split 'holiday'"):
        crowd.scene(0, "holiday")
