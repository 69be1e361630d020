"""Pre-tokenised records: what is written is read, with features; what is no record is refused by its number."""

import json

import numpy as np
import pytest
from PIL import Image

from ugf_jax.data.records import ImageCodes
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.conversation import conversation
from ugf_jax.data.unitoken.layout import Seen
from ugf_jax.data.unitoken.records import TokenRecords, write_records
from ugf_jax.errors import InputError

VISION = AnyResSettings(size=28, patch=14, pinpoints=((28, 56), (56, 28)))
CODES = ImageCodes(np.arange(4).reshape(2, 2), (), (), (32, 32))


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return pixels


def test_what_is_written_is_read(tmp_path, picture, text, words):
    turns = [("human", "a<|image|>b"), ("gpt", "c")]
    bare = conversation(turns, [Seen(CODES)], text, words, None)
    talk = conversation([("human", "a"), ("gpt", "b")], [], text, words, None)
    assert write_records(tmp_path / "r.jsonl", [(bare, ["a.png"]), (talk, [])]) == 2
    records = TokenRecords(tmp_path / "r.jsonl")
    assert len(records) == 2
    wanted = conversation(turns, [Seen(CODES, picture)], text, words, VISION)
    found = records.document(0, words, VISION)
    for name in ("tokens", "kinds", "features", "crops"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert records.document(0, words, None).tokens.tolist() == bare.tokens.tolist()
    assert records.document(1, words, VISION).crops is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{", "record 1: not JSON"),
        ("[]", 'record 1: want {"token"'),
        ({"token": [1, 2], "label": [1]}, "record 1: 1 labels for 2 tokens"),
        ({"token": [1, "2"], "label": [1, 2]}, "record 1: want"),
        ({"token": [99], "label": [99]}, "record 1: tokens from 99 to 99; want them from 0 to 47"),
        ({"token": [20], "label": [-100], "raw_image": ["a.png", "a.png"]}, "record 1: 2 raw_image for 1 images"),
        ({"token": [20], "label": [-100], "raw_image": ["../x.png"]}, "outside the root"),
        ({"token": [20], "label": [-100], "raw_image": ["b.png"]}, "b.png"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, picture, words, entry, message):
    good = json.dumps({"token": [1], "label": [-100], "raw_image": []})
    bad = entry if isinstance(entry, str) else json.dumps(entry)
    (tmp_path / "r.jsonl").write_text(f"{good}\n\n{bad}\n")
    records = TokenRecords(tmp_path / "r.jsonl")
    assert len(records.document(0, words, VISION)) == 1
    with pytest.raises(InputError) as caught:
        records.document(1, words, VISION)
    assert message in str(caught.value)


def test_files_without_records_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        TokenRecords(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no records"):
        TokenRecords(tmp_path / "empty.jsonl")
