"""The committed drawings: size, counts, every image, every caption, and no look-alikes across splits."""

import collections
import json
import re
import tarfile

import numpy as np
import pytest

from ugf_jax.data.clipart import hashes, select
from ugf_jax.data.image import decode
from ugf_jax.data.sources.embedded import CLIPART

NEAREST = (10, 14)  # bits (phash, dhash): two drawings of different splits are further apart than this in at least one
ASPECTS = (0.25, 0.45, 0.6, 0.72, 0.9, 1.1, 1.4, 1.75, 2.4, 4.01)  # edges of clearly different shapes


@pytest.fixture(scope="module")
def drawings():
    """Split → key → (fields, (height, width), the four hashes)."""
    found = {}
    for split in select.SPLITS:
        files = collections.defaultdict(dict)
        with tarfile.open(CLIPART / f"{split}.tar", "r:") as tar:
            for member in tar:
                key, _, extension = member.name.rpartition(".")
                files[key][extension] = tar.extractfile(member).read()
        found[split] = {}
        for key, parts in files.items():
            assert set(parts) == {"json", "webp"}
            image = decode(parts["webp"])
            found[split][key] = json.loads(parts["json"]), image.shape[:2], hashes.hash_image(image)
    return found


def all_of(drawings):
    return [d for split in drawings.values() for d in split.values()]


def test_the_set_is_small_enough_and_says_where_it_comes_from():
    assert sum(f.stat().st_size for f in CLIPART.iterdir()) <= 12_000_000
    text = (CLIPART / "README.md").read_text()
    assert "public domain" in text.lower()
    assert "0.18+dfsg" in text


def test_counts(drawings):
    assert {split: len(d) for split, d in drawings.items()} == select.COUNTS
    assert len({d[0]["source"] for d in all_of(drawings)}) == sum(select.COUNTS.values())


def test_sizes(drawings):
    sizes = np.array([d[1] for d in all_of(drawings)])
    assert sizes.max() == 512
    assert sizes.max(1).min() >= 150
    assert (sizes.max(1) == 512).sum() >= 300
    assert (sizes.max(1) / sizes.min(1)).max() <= 4.1


def test_every_split_has_many_aspect_ratios(drawings):
    for split in select.SPLITS:
        aspects = [width / height for _, (height, width), _ in drawings[split].values()]
        counts, _ = np.histogram(aspects, ASPECTS)
        assert (counts > 0).sum() >= 8
        assert min(aspects) < 0.5
        assert max(aspects) > 2


def test_splits_share_no_look_alikes(drawings):
    stacked = {split: hashes.stack([d[2] for d in drawings[split].values()]) for split in select.SPLITS}
    for one, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        other_keys = list(drawings[other])
        for i, key in enumerate(drawings[one]):
            phash, dhash = hashes.distances(stacked[one], i, stacked[other])
            near = np.flatnonzero((phash <= NEAREST[0]) & (dhash <= NEAREST[1]))
            assert not len(near), f"{one} {key} looks like {other} {other_keys[near[0]]}"


def test_captions_are_clean_english(drawings):
    for fields, _, _ in all_of(drawings):
        assert 2 <= len(fields["captions"]) <= 3
        for caption in fields["captions"]:
            assert re.fullmatch(r"[a-z0-9 ,.'&+:;?!/()#%\"-]{8,140}", caption), caption
            assert not re.search(r"  |https?:|\.svg|\bclipart by\b| a (?!one|eu)[aeio]\w+ | an [bcdfgjkpqtvwz]", caption), (
                caption
            )
        assert len(set(fields["captions"])) == len(fields["captions"])


def test_metadata_is_complete_and_private(drawings):
    for fields, _, _ in all_of(drawings):
        assert set(fields) == {"captions", "title", "keywords", "folder", "author", "license", "source"}
        assert fields["license"] == "public domain"
        assert "@" not in json.dumps(fields)


def test_no_part_of_the_library_dominates(drawings):
    folders = collections.Counter(d[0]["folder"] for d in all_of(drawings))
    assert len(folders) > 100
    assert max(folders.values()) < 50
    for part, limit in select.LIMITS.items():
        assert sum(n for folder, n in folders.items() if (folder + "/").startswith(part + "/")) <= limit
