"""Batches hold each preference once an epoch, on any number of hosts and from any step; what does not fit is one line."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.data.collate import collate_row
from ugf_jax.data.judged import ANSWER, judged_row
from ugf_jax.data.preference_loader import PreferenceLoader, PreferenceSettings
from ugf_jax.data.records import Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

CODES = {"master": 100, "grid": 3, "auxiliary": 50, "groups": 2, "levels": 2, "largest": 8}
MADE = {"transform": {"digest": "one", "codes": CODES}}
TEXT = TextTokenizer.load()
WORDS = VocabularySettings(text=TEXT.size, sizes=16, codes=100)


@pytest.fixture(scope="module")
def compared(make_codes):
    """`compared(number, images)`: a record whose first image beats all others, the second ties with the third."""

    def make(number, images=3):
        codes = tuple(make_codes(10 * number + i) for i in range(images))
        pairs = tuple((0, i, 1.0) for i in range(1, images)) + (((1, 2, 0.5), (2, 1, 0.5)) if images > 2 else ())
        sizes = tuple(c.bucket for c in codes)
        return Record(
            f"p{number}", sizes=sizes, captions=(f"prompt {'very ' * (number % 5)}number {number}",), codes=codes, pairs=pairs
        )

    return make


@pytest.fixture(scope="module")
def folders(tmp_path_factory, compared):
    root = tmp_path_factory.mktemp("preferences")
    write_dataset(root / "a", [compared(i, 2 + i % 3) for i in range(12)], 2, MADE)
    write_dataset(root / "b", [compared(i) for i in range(20, 23)], 1, MADE)
    write_dataset(root / "captions", [dataclasses.replace(compared(1), pairs=())], 1, MADE)
    write_dataset(root / "pixels", [dataclasses.replace(compared(1), codes=())])
    return {name: str(root / name) for name in ("a", "b", "captions", "pixels")}


@pytest.fixture(scope="module")
def settings(folders):
    return PreferenceSettings(datasets=(folders["a"], folders["b"]), pairs=4, length=40, auxiliary=100, threads=2)


@pytest.fixture(scope="module")
def loader(settings):
    return PreferenceLoader(settings, WORDS)


def take(loader, start, count):
    return [batch.arrays for batch in itertools.islice(loader.iterate(start), count)]


def assert_same(batches, others):
    for one, other in zip(batches, others, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def contents(batches):
    """Every pair of some batches: tokens and memory of both rows, and the weights; those without weight left out."""
    found = collections.Counter()
    for arrays in batches:
        for i in np.flatnonzero(arrays["weights"]):
            rows = b"".join(arrays[name][i].tobytes() for name in ("tokens", "segments", "aux_codes", "aux_releases"))
            found[rows, float(arrays["weights"][i]), float(arrays["prompt_weights"][i])] += 1
    return found


def expected(loader):
    """The same, from the records one by one."""
    found = collections.Counter()
    for dataset in loader.datasets:
        for record in dataset.records():
            total = sum(weight for _, _, weight in record.pairs)
            for winner, loser, weight in record.pairs:
                prompt = TEXT.encode(record.captions[0])
                judged = [judged_row(ANSWER, prompt, record.codes[n], WORDS, 40, n) for n in (winner, loser)]
                rows = [collate_row(row, loader.buckets[0].row, 2, WORDS.pad) for row in judged]
                names = ("tokens", "segments", "aux_codes", "aux_releases")
                both = b"".join(row[name].tobytes() for name in names for row in rows)
                found[both, weight, float(np.float32(weight / total))] += 1
    return found


def test_an_epoch_holds_every_preference_once(loader):
    assert loader.batches_per_epoch * 4 == sum(len(r.pairs) for d in loader.datasets for r in d.records())
    for epoch in range(2):
        batches = take(loader, epoch * loader.batches_per_epoch, loader.batches_per_epoch)
        assert contents(batches) == expected(loader)
        for arrays in batches:
            assert {n: (a.shape, a.dtype.type) for n, a in arrays.items()} == loader.specs(loader.buckets[0])
    first, second = take(loader, 0, 1)[0], take(loader, loader.batches_per_epoch, 1)[0]
    assert (first["tokens"] != second["tokens"]).any()


@pytest.mark.parametrize("hosts", [2, 4])
def test_any_number_of_hosts_sees_the_same_global_batches(settings, loader, hosts):
    whole = take(loader, 2, 5)
    slices = [take(PreferenceLoader(settings, WORDS, p, hosts), 2, 5) for p in range(hosts)]
    for step, arrays in enumerate(whole):
        for name, array in arrays.items():
            np.testing.assert_array_equal(np.concatenate([s[step][name] for s in slices]), array)


def test_resuming_at_any_step_continues_the_stream(settings, loader):
    count = loader.batches_per_epoch + 3
    stream = take(loader, 0, count)
    for start in (1, loader.batches_per_epoch - 1, loader.batches_per_epoch + 1):
        assert_same(take(PreferenceLoader(settings, WORDS), start, count - start), stream[start:])
    other = PreferenceLoader(dataclasses.replace(settings, threads=1, prefetch=3), WORDS)
    assert_same(take(other, 0, 3), stream[:3])


def test_in_order_every_preference_counts_once(settings, loader):
    batch = dataclasses.replace(settings, pairs=5)
    whole = [b.arrays for b in PreferenceLoader(batch, WORDS, endless=False).in_order(1000)]
    assert contents(whole) == expected(loader)
    assert {len(arrays["weights"]) for arrays in whole} == {5}
    some = [b.arrays for b in PreferenceLoader(batch, WORDS).in_order(7)]
    assert sum((arrays["weights"] > 0).sum() for arrays in some) == 7
    assert contents(some) <= contents(whole)
    hosts = [
        [b.arrays for b in PreferenceLoader(dataclasses.replace(settings, pairs=4), WORDS, p, 2).in_order(7)] for p in (0, 1)
    ]
    assert len(hosts[0]) == len(hosts[1]) == 2
    assert sum((contents(h) for h in hosts), collections.Counter()) == contents(some)
    few = dataclasses.replace(settings, pairs=1024)
    assert contents(b.arrays for b in PreferenceLoader(few, WORDS, endless=False).in_order(2000)) == expected(loader)


def test_shares_of_a_prompt_sum_to_one(loader):
    total = sum(arrays["prompt_weights"].sum() for arrays in take(loader, 0, loader.batches_per_epoch))
    assert total == pytest.approx(sum(d.num_records for d in loader.datasets), rel=1e-5)


def test_pairs_that_are_too_large_are_left_out_and_counted(settings):
    small = PreferenceLoader(dataclasses.replace(settings, auxiliary=20, length=18, pairs=2), WORDS)
    tables = small.tables
    assert all((table.auxiliary <= 20).all() for table in tables)
    pairs = sum(len(r.pairs) for d in small.datasets for r in d.records())
    assert sum(len(t.record) for t in tables) + small.too_large == pairs
    assert 0 < small.too_large < pairs
    assert "left out, too large for a row" in small.summary()
    assert "prompt that is cut" in small.summary()


def test_identity_names_what_changes_the_batches(settings, loader):
    for change, name in [
        ({"seed": 1}, "seed"),
        ({"weights": (1.0, 2.0)}, "weights"),
        ({"pairs": 2}, "pairs"),
        ({"length": 41}, "length"),
    ]:
        other = PreferenceLoader(dataclasses.replace(settings, **change), WORDS)
        assert {k for k in loader.identity if loader.identity[k] != other.identity[k]} == {name}
        assert other.fingerprint != loader.fingerprint


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({"datasets": ("captions",)}, {}, "has no preferences"),
        ({"datasets": ("pixels",)}, {}, "no image codes in them; prepare them with --tokenize=RUN"),
        ({"datasets": ()}, {}, r"config\.data\.datasets is empty"),
        ({"pairs": 4000}, {}, r"config\.data\.pairs is 4000; the datasets have \d+"),
        ({"auxiliary": 0}, {}, "no pair fits into a row; the smallest takes .* auxiliary positions"),
        ({}, {"codes": 90}, "coded with 100 master codes; the model knows 90"),
        ({}, {"sizes": 4}, "grids of up to 8 rows or columns; the model has size tokens up to 4"),
    ],
)
def test_what_does_not_fit_is_refused(settings, folders, change, words, message):
    if "datasets" in change:
        change = {"datasets": tuple(folders[name] for name in change["datasets"])}
    with pytest.raises(InputError, match=message):
        PreferenceLoader(dataclasses.replace(settings, **change), dataclasses.replace(WORDS, **words))


def test_hosts_and_weights_must_fit(settings):
    with pytest.raises(InputError, match="want a multiple of the 3 processes"):
        PreferenceLoader(settings, WORDS, 0, 3)
    with pytest.raises(InputError, match=r"weights has 1 values; want one for each of 2 datasets"):
        config.parse(PreferenceSettings, {"datasets": ("a", "b"), "weights": (1.0,)})
