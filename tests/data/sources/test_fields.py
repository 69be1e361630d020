"""Texts are found under the names that data sets give them, and kept as they are but for white space in captions."""

import datetime
import json

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.sources import fields


def test_captions_under_any_name_in_any_form():
    said = {
        "caption": " a\n cat ",
        "captions": ["two", {"text": "three"}, ["four"]],
        "text": "two",
        "sentence": "kept",
        "prompt": "",
    }
    found = fields.split_fields(said)
    assert found["captions"] == ("a cat", "two", "three", "four")
    assert found["meta"] == {"sentence": "kept"}


def test_turns_are_untouched_and_both_dialects_are_one():
    text = "  <|image|>\n what\t is this?  "
    unitoken = fields.split_fields({"conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": "x"}]})
    other = fields.split_fields({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "x"}]})
    assert unitoken["turns"] == other["turns"] == ({"from": "human", "value": text}, {"from": "gpt", "value": "x"})


@pytest.mark.parametrize(
    "bad", ["hello", [1], [{"from": "human"}], [{"from": "dog", "value": "x"}], [{"from": "gpt", "value": 3}], {"a": 1}]
)
def test_what_is_no_conversation_is_refused(bad):
    with pytest.raises(ImageRejected, match="bad entry"):
        fields.split_fields({"conversations": bad})


def test_questions_alone_or_in_a_list():
    assert fields.split_fields({"question": "how many?", "answer": "2"})["questions"] == (
        {"question": "how many?", "answer": "2"},
    )
    asked = [{"question": "a", "answer": 2, "kind": "count"}]
    assert fields.split_fields({"questions": asked})["questions"] == ({"question": "a", "answer": "2", "kind": "count"},)
    assert fields.split_fields({"questions": ["?"]})["meta"] == {"questions": ["?"]}


def test_scene_is_kept_whole():
    assert fields.split_fields({"scene": {"objects": [1]}})["scene"] == {"objects": [1]}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.just("\ud800")
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(VALUES)
def test_anything_becomes_what_json_and_msgpack_hold(value):
    found = fields.plain(value)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert msgpack.unpackb(msgpack.packb(found)) == found
    assert fields.plain(found) == found


def test_numpy_and_dates_become_plain():
    assert fields.plain({"a": np.float32(0.5), "b": np.array([[1, 2]]), "c": datetime.date(2020, 1, 2)}) == {
        "a": 0.5,
        "b": [[1, 2]],
        "c": "2020-01-02",
    }


def test_keys():
    assert fields.key_of({"id": 7, "caption": "x"}) == "7"
    assert fields.key_of({"__key__": "a/b", "id": 7}) == "a/b"
    assert fields.key_of({"id": None, "key": ""}) is None
    assert fields.without_keys({"id": 7, "image_id": 8, "x": 7}, "7") == {"image_id": 8, "x": 7}
