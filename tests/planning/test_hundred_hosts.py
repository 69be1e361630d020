"""A hundred hosts plan: together the same global batches, nothing lost or doubled, memory bounded."""

import hashlib
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from ugf_jax.data import document_plan
from ugf_jax.data.buckets import BucketSettings, make_buckets
from ugf_jax.data.document_plan import KEPT_WINDOWS, DocumentPlan, RowShape
from ugf_jax.data.mixture import draws_per_epoch
from ugf_jax.data.plan import Plan
from ugf_jax.data.ranks import Ranks
from ugf_jax.data.recipes import Lengths, RecipeSettings

HOSTS = 100
SETTINGS = BucketSettings(scales=(64,), patch=16, max_stretch=0.18, max_crop=0.18)
BUCKETS = make_buckets(SETTINGS)
SIZES = [np.random.default_rng(i).integers(16, 200, (2, n)).astype(np.uint32) for i, n in enumerate((6000, 2000))]
SHAPE, RECIPES = RowShape(length=128, auxiliary=256, pairs=0), RecipeSettings(length=128, auxiliary=256)
PLANNERS = 5  # hosts with a plan of their own; others share one of these, as planning documents takes time
MEBIBYTE = 2**20


class Lengthy:
    """Lengths of any number of records, made when they are asked for."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def many(self, records):
        return [Lengths((4 + int(r) % 30,), (), (), ((64, 20 + int(r) % 150),)) for r in records]


class Countless:
    """Ranks of so many images a bucket that no list of them could exist."""

    def __init__(self, count):
        self.counts = np.full(len(BUCKETS), count, np.int64)

    def select(self, bucket, ranks):
        return ranks


def image_plan():
    ranks = [Ranks([(h, w)], BUCKETS, SETTINGS) for h, w in SIZES]
    draws = draws_per_epoch(np.stack([r.counts for r in ranks]))
    return Plan(ranks, draws, [3 * HOSTS] * len(BUCKETS), seed=7)


def document_rows(plan, host, step):
    share = plan.rows // HOSTS
    return plan.batch(step, host * share, (host + 1) * share)[1]


def digest(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()


def peak(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_hundred_hosts_see_every_image_once_or_in_the_remainder():
    whole, hosts = image_plan(), [image_plan() for _ in range(HOSTS)]
    assert len({digest([[getattr(p.batch(s), n).tolist() for n in ("datasets", "rows")] for s in (0, 3)]) for p in hosts}) == 1
    seen = Counter()
    for step in range(whole.batches_per_epoch):
        parts = [plan.batch(step, 3 * host, 3 * host + 3) for host, plan in enumerate(hosts)]
        assert {(part.bucket, part.epoch) for part in parts} == {(whole.bucket(step), 0)}
        seen.update((d, r) for part in parts for d, r in zip(part.datasets.tolist(), part.rows.tolist(), strict=True))
    assert len(seen) == whole.batches_per_epoch * 3 * HOSTS > 4000
    seen.update(zip(*(x.tolist() for x in whole.remainder(0)), strict=True))
    assert set(seen.values()) == {1}
    assert len(seen) == whole.counts.sum()
    other = hosts[0].batch(1, 0, 3)
    assert not np.array_equal(other.rows, hosts[1].batch(1, 3, 6).rows)


def test_a_hundred_hosts_pack_the_same_rows_with_every_record_once_or_accounted_for(monkeypatch):
    monkeypatch.setattr(document_plan, "WINDOW", 80)

    def make():
        return DocumentPlan((Lengthy(200), Lengthy(100)), (), [RECIPES] * 2, SHAPE, HOSTS, seed=3)

    whole, planners = make(), [make() for _ in range(PLANNERS)]
    hosts = [planners[host % PLANNERS] for host in range(HOSTS)]
    assert whole.batches_per_epoch > 1
    assert whole.windows > whole.batches_per_epoch
    seen = Counter()
    for step in range(whole.batches_per_epoch):
        parts = [document_rows(plan, host, step) for host, plan in enumerate(hosts)]
        assert all(len(part) == 1 for part in parts)
        assert [row for part in parts for row in part] == list(whole.batch(step)[1])
        seen.update((p.dataset, p.record) for part in parts for row in part for p in row)
    seen.update((left.dataset, left.record) for left in whole.remainder(0))
    assert seen == Counter((d, r) for d, n in enumerate((200, 100)) for r in range(n))


@pytest.mark.parametrize("records", [10**5, 10**10])
def test_a_host_plans_any_number_of_documents_in_the_same_memory(records, monkeypatch):
    monkeypatch.setattr(document_plan, "WINDOW", 100)
    monkeypatch.setattr(document_plan, "SAMPLE", 200)
    plans = []

    def plan():
        plans.append(DocumentPlan((Lengthy(records),), (), [RECIPES], SHAPE, 4 * HOSTS, seed=3))
        for step in range(2 * KEPT_WINDOWS):
            assert len(document_rows(plans[0], 57, step * plans[0].batches_per_epoch // (2 * KEPT_WINDOWS))) == 4

    assert peak(plan) < 2 * MEBIBYTE
    assert len(plans[0]._cache) == KEPT_WINDOWS


@pytest.mark.parametrize("images", [10**5, 10**12])
def test_a_host_plans_any_number_of_images_in_the_same_memory(images):
    def plan():
        ranks = [Countless(images)]
        made = Plan(ranks, draws_per_epoch(np.stack([r.counts for r in ranks])), [40 * HOSTS] * len(BUCKETS), seed=7)
        for step in range(0, made.batches_per_epoch, max(made.batches_per_epoch // 20, 1)):
            assert len(made.batch(step, 57 * 40, 58 * 40).rows) == 40

    assert peak(plan) < MEBIBYTE
