"""Splits never share drawings that look alike or belong to one series, and the small set is varied."""

import collections
import random

import pytest

from ugf_jax.data.clipart import select
from ugf_jax.data.clipart.metadata import Metadata


def make(number, folder="animals", name=None, height=400, width=400, hashes=None, **changed):
    """A drawing whose hashes are random (hence far from all others) unless given."""
    bits = random.Random(number)
    name = name or "".join(bits.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(12))
    fields = {"ink": 0.4, "contrast": 60.0, "metadata": Metadata(), **changed}
    hashes = hashes or tuple(bits.getrandbits(64) for _ in range(4))
    return select.Drawing(f"{folder}/{name}.png", f"{folder}-{name}", height=height, width=width, hashes=hashes, **fields)


def test_keys_are_unique_and_have_no_dots():
    paths = ["a/b.c_01.png", "a-b_c_01.png", "A/B c_01.png", "people/É 2.png"]
    keys = select.make_keys(paths)
    assert len(set(keys)) == len(paths)
    assert keys[0] == "a-b_c_01"
    assert not any(set(".,/ ") & set(k) for k in keys)
    assert select.make_keys(paths) == keys


def test_look_alikes_and_series_share_a_split():
    drawings = [make(i) for i in range(300)]
    same = [make(1000 + i, hashes=drawings[i].hashes) for i in range(100)]
    mirrored = [make(2000 + i, hashes=drawings[i].hashes[2:] + drawings[i].hashes[:2]) for i in range(100, 200)]
    series = [make(3000 + i, name=drawings[i].path[8:-4] + "_bw_02") for i in range(200, 300)]
    splits = select.assign_splits(drawings + same + mirrored + series)
    assert splits[:100] == splits[300:400]
    assert splits[100:200] == splits[400:500]
    assert splits[200:300] == splits[500:600]
    counts = collections.Counter(splits)
    assert set(counts) == set(select.SPLITS)
    assert counts["train"] > 0.6 * len(splits)


def test_a_split_does_not_depend_on_order_and_large_groups_train():
    drawings = [make(i) for i in range(60)] + [make(i, name=f"card_{i}") for i in range(100, 120)]
    splits = dict(zip(drawings, select.assign_splits(drawings), strict=True))
    random.Random(0).shuffle(drawings)
    lonely = [d for d in drawings if "card" not in d.key]
    assert [splits[d] for d in lonely] == [
        s for d, s in zip(drawings, select.assign_splits(drawings), strict=True) if d in lonely
    ]
    assert {splits[d] for d in drawings if "card" in d.key} == {"train"}


@pytest.mark.parametrize(
    "changed", [{"height": 100, "width": 120}, {"height": 100, "width": 410}, {"ink": 0.01}, {"contrast": 3.0}]
)
def test_what_does_not_suit_the_small_set(changed):
    assert select.is_suitable(make(1))
    assert not select.is_suitable(make(1, **changed))


def test_folders_take_turns_within_limits_and_duplicates_are_dropped():
    drawings = [make(i, "animals") for i in range(200)] + [make(1000 + i, "tools") for i in range(10)]
    drawings += [make(2000 + i, "shapes/stars") for i in range(50)]
    drawings += [make(3000 + i, "tools", hashes=drawings[200 + i].hashes) for i in range(10)]
    splits = ["train"] * len(drawings)
    chosen = select.choose(drawings, splits, {"train": 60, "validation": 0, "test": 0})
    folders = collections.Counter(drawings[i].folder for i in chosen)
    assert len(chosen) == 60
    assert folders["shapes/stars"] == select.LIMITS["shapes/stars"]
    assert folders["tools"] == 10  # all that differ
    assert chosen == sorted(set(chosen))


def test_wide_and_tall_drawings_come_first():
    drawings = [make(i) for i in range(50)] + [
        make(100 + i, height=150 + 250 * (i % 2), width=400 - 250 * (i % 2)) for i in range(10)
    ]
    chosen = select.choose(drawings, ["train"] * 60, {"train": 10, "validation": 0, "test": 0})
    assert chosen == list(range(50, 60))
