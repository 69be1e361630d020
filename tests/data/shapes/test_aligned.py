import hashlib
import json

import numpy as np
import pytest

from ugf_jax.data.shapes import aligned, draw, examples, find, graph
from ugf_jax.data.shapes.checker import agreement
from ugf_jax.data.shapes.drawing import box
from ugf_jax.data.shapes.graph import Item, Scene
from ugf_jax.data.shapes.splits import belongs
from ugf_jax.errors import InputError

# SHA-256 of the scenes and captions of the first fifty examples: data sets made by different machines must agree.
GOLDEN = "3d8a65ad0e8c3314"


def scenes(count=100, split="train"):
    return [aligned.scene(index, split) for index in range(count)]


def test_examples_never_change():
    digest = hashlib.sha256()
    for index in range(50):
        record = aligned.example(index, max_side=64)
        digest.update(json.dumps([record.key, record.sizes, record.scene, record.captions]).encode())
    assert digest.hexdigest()[:16] == GOLDEN


def test_objects_are_centred_where_patches_meet_and_have_one_diameter_for_each_size():
    diameters = {}
    for scene in scenes(400):
        containers = {item.inside for item in scene.objects}
        for number, item in enumerate(scene.objects):
            assert {(value * aligned.GRID) % 1 for value in (item.x, item.y)} == {0}
            kind = item.shape, item.size, item.inside is None, number in containers
            diameters.setdefault(kind, set()).add(item.diameter)
            assert item.inside is not None or item.diameter in (graph.SIZES[item.size][1], aligned.largest(item.shape))
    assert {len(found) for found in diameters.values()} == {1}


def test_any_two_alike_at_one_place_are_the_same_codes():
    """The positive control: means of the patches are the same; where objects stand anywhere, they are not."""

    def patterns(of):
        found = {}
        for index in range(400):
            scene = of(index)
            if len(scene.objects) == 1:
                picture = draw(scene, 256, 256).astype(float)
                means = picture.reshape(8, 32, 8, 32, 3).mean((1, 3))
                item = scene.objects[0]
                covered = np.abs(means - means[0, 0]).sum(-1) / np.abs(means - means[0, 0]).sum(-1).max()
                found.setdefault((item.shape, item.size), set()).add(tuple(np.sort(covered.ravel().round(1))[-9:]))
        return [len(different) for different in found.values()]

    assert np.mean(patterns(aligned.scene)) < 1.5 < np.mean(patterns(examples.scene))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_splits_hold_out_what_those_of_shapes_do(split):
    assert all(belongs(scene, split) for scene in scenes(60, split))


def test_pictures_show_what_they_should_at_any_size_they_have():
    for index, scene in enumerate(scenes(40, "test")):
        height, width = aligned.picture_size(index, "test")
        assert max(height, width) == 256
        assert min(abs(height / width - rows / columns) for rows, columns in aligned.GRIDS) < 0.01
        assert all(agreement(find(draw(scene, height, width)).scene, scene).values())
        for item in scene.objects:
            left, top, right, bottom = box(item, height, width)
            assert min(left, top, width - right, height - bottom) > 0


def test_every_position_occurs():
    assert {item.position for scene in scenes(200) for item in scene.objects} == set(graph.POSITIONS)


def test_what_would_touch_is_none():
    near = Scene("white", (Item("circle", "red", 0.2, 0.5, 0.25), Item("star", "blue", 0.8, 0.5, 0.25)))
    assert aligned.align(near) is not None
    assert aligned.align(Scene("white", (near.objects[0], Item("star", "blue", 0.4, 0.5, 0.25)))) is None


def test_an_enclosed_object_goes_with_its_container():
    outer, inner = Item("square", "red", 0.25, 0.77, 0.38), Item("star", "blue", 0.25, 0.77, 0.17, inside=0)
    moved = aligned.align(Scene("white", (outer, inner)))
    assert [(o.x, o.y) for o in moved.objects] == [(0.25, 0.75)] * 2
    assert moved.objects[1].inside == 0


def test_splits_that_are_none_are_refused():
    with pytest.raises(InputError, match="no split 'holiday'"):
        aligned.scene(0, "holiday")
