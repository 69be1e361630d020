"""The rows of an epoch: the same for every host and from any step, full, with every record in a batch or accounted for."""

import dataclasses
import threading
from collections import Counter

import numpy as np
import pytest

from ugf_jax.data import document_plan as module
from ugf_jax.data.document_plan import NO_ROOM, NO_TASK, DocumentPlan, RowShape
from ugf_jax.data.recipes import Lengths, RecipeSettings, TaskWeights, choose
from ugf_jax.errors import InputError

SHAPE = RowShape(length=512, auxiliary=1024, pairs=4)
RECIPES = RecipeSettings(length=512, auxiliary=1024)


class Table(list):
    """Lengths in memory."""

    def many(self, records):
        return [self[int(i)] for i in records]


def table(seed, count, useless=0.0):
    """Images of 8 x 8 codes with captions and questions; some records that no task can use."""
    rng = np.random.default_rng(seed)
    found = Table()
    for _ in range(count):
        captions = tuple(rng.integers(4, 34, 2).tolist())
        questions = tuple(zip(rng.integers(4, 12, 3).tolist(), rng.integers(1, 4, 3).tolist(), strict=True))
        full = Lengths(captions, questions, (), ((64, int(rng.integers(20, 200))),))
        found.append(Lengths() if rng.random() < useless else full)
    return found


@pytest.fixture(scope="module")
def tables():
    return table(0, 3000, useless=0.02), table(1, 1100)


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 500)


def make(tables, weights=(), rows=8, seed=0, shape=SHAPE, recipes=RECIPES):
    return DocumentPlan(tables, weights, [recipes] * len(tables), shape, rows, seed)


def rows_of(plan, steps):
    return [row for step in steps for row in plan.batch(step)[1]]


def records_of(rows):
    return Counter((p.dataset, p.record) for row in rows for p in row)


def test_every_record_is_once_in_a_batch_or_accounted_for(tables, small_windows):
    plan = make(tables)
    for epoch in range(2):
        steps = range(epoch * plan.batches_per_epoch, (epoch + 1) * plan.batches_per_epoch)
        left = list(plan.remainder(epoch))
        seen = records_of(rows_of(plan, steps))
        seen.update((x.dataset, x.record) for x in left)
        assert seen == Counter((d, r) for d, t in enumerate(tables) for r in range(len(t)))
        useless = {(x.dataset, x.record) for x in left if x.reason == NO_TASK}
        assert useless == {(0, r) for r, lengths in enumerate(tables[0]) if lengths == Lengths()}
        assert sum(x.reason == NO_ROOM for x in left) < 0.05 * len(seen)


def test_rows_hold_what_they_can_and_are_full(tables, small_windows):
    plan = make(tables)
    rows = rows_of(plan, range(plan.batches_per_epoch))
    sizes = np.array([np.sum([(p.recipe.tokens, p.recipe.auxiliary, p.recipe.documents - 1) for p in row], 0) for row in rows])
    assert (sizes <= SHAPE.budgets).all()
    found = plan.statistics(windows=plan.windows)
    np.testing.assert_allclose(found["fill"], sizes[:, 0].mean() / SHAPE.length)
    np.testing.assert_allclose(found["auxiliary_fill"], sizes[:, 1].mean() / SHAPE.auxiliary)
    assert (found["rows"], found["documents"]) == (len(rows), sum(p.recipe.documents for row in rows for p in row))
    assert max(found["fill"], found["auxiliary_fill"]) >= 0.95
    assert found["remainder"] < 0.05
    assert 0.005 < found["refused"] < 0.03


def test_where_the_auxiliary_budget_binds_it_is_the_one_that_is_full(tables):
    shape = dataclasses.replace(SHAPE, auxiliary=256)
    found = make(tables, shape=shape, recipes=dataclasses.replace(RECIPES, auxiliary=256)).statistics()
    assert found["auxiliary_fill"] >= 0.93
    assert found["fill"] < 0.95
    assert found["remainder"] < 0.05


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_see_slices_of_the_same_batches(tables, small_windows, hosts):
    whole = make(tables)
    each = [make(tables) for _ in range(hosts)]
    for step in (0, 17, whole.batches_per_epoch - 1, whole.batches_per_epoch, 3 * whole.batches_per_epoch + 5):
        epoch, rows = whole.batch(step)
        share = 8 // hosts
        parts = [plan.batch(step, host * share, (host + 1) * share) for host, plan in enumerate(each)]
        assert {e for e, _ in parts} == {epoch} == {step // whole.batches_per_epoch}
        assert [row for _, part in parts for row in part] == list(rows)


def test_any_part_is_found_without_what_comes_before(tables, small_windows):
    plan = make(tables)
    stream = rows_of(plan, range(plan.batches_per_epoch + 9))
    fresh = make(tables)
    for step in (plan.batches_per_epoch + 3, 10, plan.batches_per_epoch - 1, 1):
        assert list(fresh.batch(step, 2, 7)[1]) == stream[8 * step + 2 : 8 * step + 7]


def test_a_document_depends_on_the_pass_and_the_record_alone(tables, small_windows, monkeypatch):
    recipes = [
        {(p.dataset, p.record): p.recipe for row in rows_of(plan, range(plan.batches_per_epoch)) for p in row}
        for plan in (make(tables), make(tables, rows=4, shape=dataclasses.replace(SHAPE, pairs=6)))
    ]
    monkeypatch.setattr(module, "WINDOW", 900)
    plan = make(tables)
    recipes.append({(p.dataset, p.record): p.recipe for row in rows_of(plan, range(plan.batches_per_epoch)) for p in row})
    shared = recipes[0].keys() & recipes[1].keys() & recipes[2].keys()
    assert len(shared) > 3500
    assert all(recipes[0][k] == recipes[1][k] == recipes[2][k] for k in shared)
    second = {
        (p.dataset, p.record): p.recipe
        for row in rows_of(plan, range(plan.batches_per_epoch, 2 * plan.batches_per_epoch))
        for p in row
    }
    differing = [recipes[2][k] != second[k] for k in recipes[2].keys() & second.keys()]
    assert np.mean(differing) > 0.7


def test_seeds_and_epochs_give_other_orders(tables):
    plan = make(tables)
    first = records_of(plan.batch(0)[1])
    assert records_of(make(tables, seed=1).batch(0)[1]) != first
    assert records_of(plan.batch(plan.batches_per_epoch)[1]) != first


def test_batches_of_a_window_are_of_one_kind(tables):
    """Packing goes by size; rows are shuffled after it, or early batches would have all the large documents."""
    plan = make(tables, shape=dataclasses.replace(SHAPE, auxiliary=10**6))
    means = [np.mean([p.recipe.tokens for row in plan.batch(step)[1] for p in row]) for step in range(plan.batches_per_epoch)]
    assert np.std(means) < 0.06 * np.mean(means)


def test_weights_are_the_shares_of_the_mixture(tables):
    plan = make(tables, weights=(1.0, 3.0))
    drawn = records_of(rows_of(plan, range(plan.batches_per_epoch)))
    share = sum(n for (dataset, _), n in drawn.items() if dataset == 1) / drawn.total()
    assert 0.74 < share < 0.77
    assert max(drawn.values()) == 3  # 1,100 records, 3,075 draws


def test_many_threads_see_what_one_sees(tables, small_windows):
    one = make(tables)
    expected = [one.batch(step) for step in range(30)]
    plan, found = make(tables), {}

    def read(first):
        for step in range(first, 30, 6):
            found[step] = plan.batch(step)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[step] for step in range(30)] == expected


def test_few_records_make_few_batches():
    few = Table(table(3, 40))
    plan = make([few], rows=2)
    assert plan.batches_per_epoch >= 2
    seen = records_of(rows_of(plan, range(plan.batches_per_epoch)))
    assert len(seen) + len(list(plan.remainder(0))) == 40
    with pytest.raises(InputError, match=r"config\.data\.rows is 64; all documents fill [\d.]+: want at most ") as caught:
        make([few], rows=64)
    advised = int(str(caught.value).rsplit(" ", 1)[1])
    assert make([few], rows=advised).batches_per_epoch == 1


def test_records_that_can_serve_no_task_are_refused_in_one_line(tables):
    only = RecipeSettings(TaskWeights(0, 0, 0, 1, 0, 0), length=512)
    assert choose(tables[0][0], np.uint64(1), only) is None
    with pytest.raises(InputError, match=r"no record can serve a task of config\.data\.recipes"):
        make(tables, recipes=only)
