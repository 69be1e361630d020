import hashlib
import json

import cv2
import numpy as np
import pytest

from ugf_jax.data.records import pack, unpack
from ugf_jax.data.shapes import draw, example, examples
from ugf_jax.data.shapes.graph import Scene
from ugf_jax.errors import InputError

# SHA-256 of the scenes, captions and questions of the first fifty examples: data sets made by different machines must agree.
GOLDEN = {"train": "ac70b938dbb28e10", "validation": "a73a4dcf412894e9", "test": "e912b80b220b1ed0"}


def _digest(split):
    digest = hashlib.sha256()
    for i in range(50):
        record = example(i, split, max_side=64)
        text = json.dumps([record.key, record.sizes, record.scene, record.captions, record.questions])
        digest.update(text.encode())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("split", GOLDEN)
def test_examples_never_change(split):
    assert _digest(split) == GOLDEN[split]


def test_an_example_is_the_same_whenever_it_is_asked_for():
    first = [pack(example(i)) for i in (3, 4)]
    assert [pack(example(i)) for i in (4, 3)] == first[::-1]
    assert example(3) != example(3, "test")
    assert first[0] != first[1]


def test_the_record_holds_the_picture_of_its_scene():
    for i in range(10):
        record = example(i, "validation", max_side=200)
        assert record.key == f"shapes-validation-{i:08d}"
        (height, width), (data,) = record.sizes[0], record.images
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert image.shape == (height, width, 3)
        assert max(height, width) == 200
        assert np.array_equal(image, draw(Scene.from_json(record.scene), height, width))
        assert unpack(pack(record)).scene == record.scene


def test_only_the_picture_depends_on_the_size():
    small, large = example(5, max_side=64), example(5, max_side=256)
    assert (small.captions, small.questions, small.scene) == (large.captions, large.questions, large.scene)


def test_aspect_ratios_vary_and_squares_are_common():
    sizes = [examples.picture_size(i) for i in range(500)]
    aspects = np.array([w / h for h, w in sizes])
    assert aspects.min() < 0.42
    assert aspects.max() > 2.4
    assert np.all((aspects >= 1 / 2.52) & (aspects <= 2.52))
    assert 0.3 < np.mean(aspects == 1) < 0.45
    assert 0.4 < np.mean(aspects[aspects != 1] > 1) < 0.6


@pytest.mark.parametrize(("arguments", "message"), [(("dev",), "no split 'dev'"), (("train", 8), "max_side is 8")])
def test_bad_requests_are_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message):
        example(0, *arguments)
