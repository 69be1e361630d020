import hashlib
import json

import cv2
import numpy as np
import pytest

from ugf_jax.data.documents import IMAGE, conversation_pieces
from ugf_jax.data.records import pack, unpack
from ugf_jax.data.shapes import draw, edits
from ugf_jax.data.shapes.graph import Scene

# SHA-256 of the first twenty edits: data sets made by different machines must agree.
GOLDEN = {"train": "30e3616394030b78", "validation": "7d31eb8e6d22fcce", "test": "188fd42280029d02"}


def _digest(split):
    digest = hashlib.sha256()
    for i in range(20):
        record = edits.example(i, split, max_side=64)
        digest.update(json.dumps([record.key, record.sizes, record.scene, record.turns, record.meta]).encode())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("split", GOLDEN)
def test_edits_never_change(split):
    assert _digest(split) == GOLDEN[split]


def test_the_record_is_a_conversation_of_the_two_pictures():
    for i in range(10):
        record = unpack(pack(edits.example(i, "validation", max_side=128)))
        edit = edits.Edit.from_json(record.meta["edit"])
        assert edit == edits.edit(i, "validation")
        assert Scene.from_json(record.scene) == edit.before
        for data, size, scene in zip(record.images, record.sizes, (edit.before, edit.after), strict=True):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            assert np.array_equal(image, draw(scene, *size))
        pieces = conversation_pieces(record)
        assert [p.opens == IMAGE for p in pieces] == [False, True, False, True]
        assert pieces[1].text.strip() == edit.instruction


def test_only_the_pictures_depend_on_the_size():
    small, large = edits.example(5, max_side=64), edits.example(5, max_side=128)
    assert (small.turns, small.meta, small.scene) == (large.turns, large.meta, large.scene)
    assert small.images != large.images
