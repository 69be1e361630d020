import itertools
import resource
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ugf_jax.data.buckets import BucketSettings, assign, make_buckets
from ugf_jax.data.mixture import draws_per_epoch
from ugf_jax.data.plan import Plan
from ugf_jax.data.ranks import Ranks

SETTINGS = BucketSettings(scales=(64, 128), patch=8)
BUCKETS = make_buckets(SETTINGS)


def make_plan(rows=(700,), weights=(), batch=4, seed=0):
    sizes = [np.random.default_rng(i).integers(0, 300, (2, n)).astype(np.uint32) for i, n in enumerate(rows)]
    ranks = [Ranks([(h, w)], BUCKETS, SETTINGS) for h, w in sizes]
    draws = draws_per_epoch(np.stack([r.counts for r in ranks]), weights)
    batch_sizes = [batch if b.scale == 64 else 2 * batch for b in BUCKETS]
    return Plan(ranks, draws, batch_sizes, seed), [assign(h, w, BUCKETS, SETTINGS) for h, w in sizes]


def epoch_pairs(plan, epoch):
    """All (dataset, row) of an epoch's batches and of its remainder."""
    steps = range(epoch * plan.batches_per_epoch, (epoch + 1) * plan.batches_per_epoch)
    batches = [plan.batch(step) for step in steps]
    assert all(b.epoch == epoch for b in batches)
    datasets, rows = plan.remainder(epoch)
    used = [(d, r) for b in batches for d, r in zip(b.datasets.tolist(), b.rows.tolist(), strict=True)]
    return used, list(zip(datasets.tolist(), rows.tolist(), strict=True))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(rows=st.integers(100, 1500), batch=st.integers(1, 9), seed=st.integers(0, 2**40), epoch=st.integers(0, 5))
def test_every_image_is_once_in_a_batch_or_in_the_remainder_or_has_no_bucket(rows, batch, seed, epoch):
    plan, (numbers,) = make_plan((rows,), batch=batch, seed=seed)
    if not plan.batches_per_epoch:
        return
    used, rest = epoch_pairs(plan, epoch)
    assert sorted(r for _, r in used + rest) == np.flatnonzero(numbers >= 0).tolist()
    assert len(used) == (plan.batches * plan.batch_sizes).sum()


def test_a_batch_is_of_one_bucket_and_any_part_of_it_is_found_alone():
    plan, numbers = make_plan((900, 400))
    for step in (0, 1, 50, plan.batches_per_epoch, 10**9):
        whole = plan.batch(step)
        assert plan.bucket(step) == whole.bucket
        assert len(whole.rows) == plan.batch_sizes[whole.bucket]
        for dataset, row in zip(whole.datasets, whole.rows, strict=True):
            assert numbers[dataset][row] == whole.bucket
        cut = len(whole.rows) // 3
        parts = [plan.batch(step, 0, cut), plan.batch(step, cut)]
        np.testing.assert_array_equal(np.concatenate([p.rows for p in parts]), whole.rows)
        np.testing.assert_array_equal(np.concatenate([p.datasets for p in parts]), whole.datasets)


def test_seeds_and_epochs_give_other_orders_and_other_remainders():
    plan, _ = make_plan()
    other, _ = make_plan(seed=1)
    first, rest = epoch_pairs(plan, 0)
    assert rest
    for used, left in (epoch_pairs(plan, 1), epoch_pairs(other, 0)):
        assert len(used) == len(first)
        assert used != first
        assert sorted(left) != sorted(rest)
    assert epoch_pairs(make_plan()[0], 0) == (first, rest)
    buckets = [
        [p.bucket(e * p.batches_per_epoch + i) for i in range(p.batches_per_epoch)] for p in (plan, other) for e in (0, 1)
    ]
    assert sorted(buckets[0]) == sorted(buckets[1]) == sorted(buckets[2])
    assert buckets[0] != buckets[1] != buckets[2]


def test_weights_are_kept_and_each_dataset_is_passed_through_completely():
    plan, numbers = make_plan((600, 300), weights=(0.25, 0.75), batch=2)
    seen = [np.zeros(len(n), int) for n in numbers]
    epochs = 6
    for epoch in range(epochs):
        used, rest = epoch_pairs(plan, epoch)
        for dataset, row in used + rest:
            seen[dataset][row] += 1
    share = seen[0].sum() / (seen[0].sum() + seen[1].sum())
    assert abs(share - 0.25) < 0.02
    for dataset, count in enumerate(seen):
        for bucket in range(len(BUCKETS)):
            # Passes through the images of one bucket are complete: none is drawn a second time before all were drawn once.
            own = count[numbers[dataset] == bucket]
            assert not len(own) or own.max() - own.min() <= 1
        assert (count[numbers[dataset] < 0] == 0).all()


def test_each_pass_has_an_order_of_its_own():
    plan, _ = make_plan((400, 400), weights=(0.25, 0.75))
    # Two epochs make a pass through the first dataset (about: buckets are rounded).
    drawn = [used + rest for used, rest in (epoch_pairs(plan, epoch) for epoch in (0, 2, 4))]
    halves = [{row for dataset, row in pairs if dataset == 0} for pairs in drawn]
    assert all(0.3 < len(a & b) / len(a) < 0.8 for a, b in itertools.pairwise(halves))


def test_every_image_is_trained_on_sooner_or_later():
    plan, (numbers,) = make_plan((120,), batch=3)
    possible = {int(r) for b in np.flatnonzero(plan.batches) for r in np.flatnonzero(numbers == b)}
    seen = {row for epoch in range(30) for _, row in epoch_pairs(plan, epoch)[0]}
    assert seen == possible


def test_order_is_not_the_order_of_the_index():
    plan, _ = make_plan((4000,), batch=8)
    rows = np.array([r for _, r in epoch_pairs(plan, 0)[0]])
    correlation = np.corrcoef(rows, np.arange(len(rows)))[0, 1]
    assert abs(correlation) < 0.1
    inside = np.concatenate([np.diff(plan.batch(step).rows) for step in range(plan.batches_per_epoch)])
    assert 0.4 < (inside > 0).mean() < 0.6


MILLIONS = """
import numpy as np
from ugf_jax.data.buckets import BucketSettings, make_buckets
from ugf_jax.data.plan import Plan
from ugf_jax.data.ranks import Ranks
settings = BucketSettings(scales=(256, 512, 1024))
buckets = make_buckets(settings)
sizes = np.memmap({path!r}, np.uint32, "r", shape=(2, 20_000_000))
ranks = Ranks([tuple(sizes)], buckets, settings)
plan = Plan([ranks], ranks.counts[None], [64] * len(buckets), 0)
middle = plan.batch(plan.batches_per_epoch // 2)
assert len(set(middle.rows.tolist())) == 64
"""


@pytest.mark.slow
def test_twenty_million_images_are_planned_within_half_a_gigabyte(tmp_path):
    path = tmp_path / "sizes"
    sizes = np.memmap(path, np.uint32, "w+", shape=(2, 20_000_000))
    rng = np.random.default_rng(0)
    for start in range(0, sizes.shape[1], 2**20):
        sizes[:, start : start + 2**20] = rng.integers(64, 3000, sizes[:, start : start + 2**20].shape)
    sizes.flush()
    limit = 2**29  # private memory; the mapped index is the page cache's
    subprocess.run(
        [sys.executable, "-c", MILLIONS.format(path=str(path))],
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
