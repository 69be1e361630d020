"""Arrays of a row tell exactly what its documents hold, and nothing of what no token may see."""

import numpy as np
import pytest

from ugf_jax.data.collate import collate_row, memory_of, row_specs
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.documents import NEVER
from ugf_jax.data.recipes import RecipeSettings, build, choose, lengths_of
from ugf_jax.data.text import TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings

SHAPE = RowShape(length=1500, auxiliary=600, pairs=5)


@pytest.fixture(scope="module")
def text():
    return TextTokenizer.load()


@pytest.fixture(scope="module")
def words(text):
    return VocabularySettings(text=text.size, sizes=16, codes=100)


@pytest.fixture(scope="module")
def items(make_record, text, words):
    """Documents of many tasks, contrastive pairs among them."""
    recipes = RecipeSettings(length=300, memory_dropout=0.3)
    records = [make_record(seed) for seed in range(60)]
    chosen = [(record, choose(lengths_of(record, text), np.uint64(3 * i), recipes)) for i, record in enumerate(records)]
    return [build(recipe, record, text, words) for record, recipe in chosen if recipe is not None]


def rows_of(items):
    """The items in order, as many to a row as fit."""
    row, free = [], [*SHAPE.budgets]
    for item in items:
        need = [sum(map(len, item)), sum(d.auxiliary for d in item), len(item) - 1]
        if any(n > f for n, f in zip(need, free, strict=True)):
            yield row
            row, free = [], [*SHAPE.budgets]
        row.append(item)
        free = [f - n for n, f in zip(need, free, strict=True)]
    yield row


def test_every_document_comes_back(items, words):
    tasks = set()
    for row in rows_of(items):
        arrays = collate_row(row, SHAPE, 2, words.pad)
        assert {n: (a.shape, a.dtype.type) for n, a in arrays.items()} == row_specs(SHAPE, 2)
        documents = [d for item in row for d in item]
        assert set(arrays["segments"].tolist()) - {0} == set(range(1, len(documents) + 1))
        for segment, document in enumerate(documents, 1):
            own = arrays["segments"] == segment
            np.testing.assert_array_equal(arrays["tokens"][own], document.tokens)
            np.testing.assert_array_equal(arrays["kinds"][own], document.kinds)
            np.testing.assert_array_equal(arrays["cells"][own], document.cells)
            np.testing.assert_array_equal(arrays["positions"][own], np.arange(len(document)))
            assert_memory(arrays, segment, document)
            tasks.add(document.task)
        padding = arrays["segments"] == 0
        assert (arrays["tokens"][padding] == words.pad).all()
        assert (arrays["cells"][padding] == -1).all()
        assert not arrays["kinds"][padding].any()
        assert not arrays["positions"][padding].any()
        unused = arrays["aux_segments"] == 0
        assert (arrays["aux_releases"][unused] == NEVER).all()
        assert (~unused).sum() == sum(d.auxiliary for d in documents)
    assert len(tasks) == 6


def assert_memory(arrays, segment, document):
    """The auxiliary grids of a document, put together again from codes, levels and places."""
    own = arrays["aux_segments"] == segment
    taken = 0
    for span in (s for s in document.spans if s.release != NEVER):
        count = sum(int(k.sum()) for k in span.codes.kept)
        part = slice(taken, taken + count)
        taken += count
        assert set(arrays["aux_releases"][own][part].tolist()) <= {span.release}
        levels, places, codes = (arrays[n][own][part] for n in ("aux_levels", "aux_places", "aux_codes"))
        for level, (values, kept) in enumerate(zip(span.codes.auxiliary, span.codes.kept, strict=True)):
            rebuilt, there = np.zeros_like(values), np.zeros_like(kept)
            for place, found in zip(places[levels == level], codes[levels == level], strict=True):
                np.testing.assert_allclose(place[2:] * kept.shape, 1, rtol=1e-6)
                cell = tuple(np.floor(place[:2] * kept.shape).astype(int))
                np.testing.assert_allclose(place[:2] * kept.shape, np.array(cell) + 0.5, rtol=1e-5)
                rebuilt[cell], there[cell] = found, True
            np.testing.assert_array_equal(there, kept)
            np.testing.assert_array_equal(rebuilt[kept], values[kept])
    assert taken == own.sum()


def test_pairs_point_at_the_embeddings_of_an_image_and_its_text(items, words):
    seen = 0
    for row in rows_of(items):
        arrays = collate_row(row, SHAPE, 2, words.pad)
        contrastive = [item for item in row if len(item) == 2]
        pairs = arrays["pairs"]
        assert (pairs[len(contrastive) :] == -1).all()
        for (image, caption), (first, second) in zip(contrastive, pairs.tolist(), strict=False):
            assert arrays["tokens"][first] == arrays["tokens"][second] == words.emb
            assert arrays["segments"][second] == arrays["segments"][first] + 1
            assert arrays["positions"][[first, second]].tolist() == [image.embed, caption.embed]
            assert len(image.spans) == 1
            assert not caption.spans
            seen += 1
    assert seen > 3


def test_a_row_of_nothing_is_padding(words):
    arrays = collate_row([], SHAPE, 2, words.pad)
    assert not arrays["segments"].any()
    assert not arrays["aux_segments"].any()
    assert (arrays["tokens"] == words.pad).all()
    assert (arrays["pairs"] == -1).all()


def test_a_row_that_is_too_small_is_a_mistake_of_the_plan(items, words):
    large = max(items, key=lambda item: sum(d.auxiliary for d in item))
    for shape, what in ((RowShape(5, 600, 5), "tokens in a row of 5"), (RowShape(1500, 3, 5), "positions in a row of 3")):
        with pytest.raises(AssertionError, match=what):
            collate_row([large], shape, 2, words.pad)
    pair = next(item for item in items if len(item) == 2)
    with pytest.raises(AssertionError, match="1 pairs in a row of 0"):
        collate_row([pair], RowShape(1500, 600, 0), 2, words.pad)


def test_memory_goes_level_by_level_and_row_by_row(make_codes):
    codes = next(c for c in map(make_codes, range(50)) if len(c.kept) == 2)
    values, places, levels = memory_of(codes)
    assert (np.diff(levels) >= 0).all()
    assert len(values) == sum(k.sum() for k in codes.kept)
    for level in range(2):
        at = places[levels == level]
        order = np.lexsort((at[:, 1], at[:, 0]))
        np.testing.assert_array_equal(order, np.arange(len(at)))
