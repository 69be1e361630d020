import hashlib
import json

import cv2
import numpy as np
import pytest

from ugf_jax.data.records import pack, unpack
from ugf_jax.data.shapes import fine
from ugf_jax.data.shapes.graph import Scene

# SHA-256 of the scenes, captions and questions of the first twenty examples: data sets made by different machines must agree.
GOLDEN = {"train": "8405a00c01518e0b", "validation": "0e34dddc9f8bff3b", "test": "914bcfcd6b59592b"}


def _digest(split):
    digest = hashlib.sha256()
    for i in range(20):
        record = fine.example(i, split, max_side=64)
        digest.update(json.dumps([record.key, record.sizes, record.scene, record.captions, record.questions]).encode())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("split", GOLDEN)
def test_examples_never_change(split):
    assert _digest(split) == GOLDEN[split]


@pytest.mark.parametrize("side", [256, 1024])
def test_the_record_holds_the_picture_of_its_scene(side):
    for i in range(3):
        record = fine.example(i, "validation", max_side=side)
        (height, width), (data,) = record.sizes[0], record.images
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert image.shape == (height, width, 3)
        assert max(height, width) == side
        stored = unpack(pack(record)).scene
        assert fine.FineScene.from_json(stored) == fine.scene(i, "validation")
        assert Scene.from_json(stored) == fine.scene(i, "validation").scene
        assert np.array_equal(image, fine.draw(fine.FineScene.from_json(stored), height, width))


def test_only_the_picture_depends_on_the_size():
    small, large = fine.example(5, max_side=64), fine.example(5, max_side=128)
    assert (small.captions, small.questions, small.scene) == (large.captions, large.questions, large.scene)
    assert small.images != large.images


def test_pictures_are_not_so_narrow_that_letters_are_lost():
    sizes = [fine.picture_size(i) for i in range(200)]
    assert min(min(size) for size in sizes) >= 191
    assert {size[0] < size[1] for size in sizes} == {True, False}
