"""Batches hold the documents that were planned, on any number of hosts and from any step; what does not fit is one line."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.data.document_loader import DocumentLoader, DocumentSettings, held_out
from ugf_jax.data.index import open_dataset
from ugf_jax.data.recipes import RecipeSettings, TaskWeights, build
from ugf_jax.data.records import Record
from ugf_jax.data.shards import manifest_text, write_dataset
from ugf_jax.data.text import SHIPPED, TextTokenizer
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError

CODES = {"master": 100, "grid": 3, "auxiliary": 50, "groups": 2, "levels": 2, "largest": 8}
MADE = {"transform": {"digest": "one", "codes": CODES}}
WORDS = VocabularySettings(text=TextTokenizer.load().size, sizes=16, codes=100)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, make_record):
    root = tmp_path_factory.mktemp("documents")
    write_dataset(root / "a", [make_record(i) for i in range(90)], 2, MADE)
    write_dataset(root / "b", [make_record(i) for i in range(100, 150)], 1, MADE)
    write_dataset(root / "text", [Record(f"t{i}", captions=(f"only text {i}",)) for i in range(30)])
    return {name: str(root / name) for name in ("a", "b", "text")}


@pytest.fixture(scope="module")
def settings(folders):
    return DocumentSettings(
        datasets=tuple(folders.values()),
        rows=4,
        length=300,
        auxiliary=200,
        pairs=2,
        recipes=RecipeSettings(length=250),
        threads=2,
    )


@pytest.fixture(scope="module")
def loader(settings):
    return DocumentLoader(settings, WORDS)


def take(loader, start, count):
    return list(itertools.islice(loader.iterate(start), count))


def assert_same(batches, others):
    for one, other in zip(batches, others, strict=True):
        assert (one.bucket, one.epoch) == (other.bucket, other.epoch)
        assert one.arrays.keys() == other.arrays.keys()
        for name in one.arrays:
            np.testing.assert_array_equal(one.arrays[name], other.arrays[name])


def test_batches_hold_the_documents_that_were_planned(loader):
    tasks = set()
    for step, batch in enumerate(take(loader, 0, loader.batches_per_epoch + 1)):
        assert batch.bucket in loader.buckets
        assert {n: (a.shape, a.dtype.type) for n, a in batch.arrays.items()} == loader.specs(batch.bucket)
        for i, row in enumerate(loader.plan.batch(step)[1]):
            made = [
                document
                for p in row
                for document in build(p.recipe, loader.datasets[p.dataset].record(p.record), loader.text, WORDS)
            ]
            tokens, segments = batch.arrays["tokens"][i], batch.arrays["segments"][i]
            assert segments.max() == len(made)
            for segment, document in enumerate(made, 1):
                np.testing.assert_array_equal(tokens[segments == segment], document.tokens)
                assert (batch.arrays["aux_segments"][i] == segment).sum() == document.auxiliary
                tasks.add(document.task)
    assert batch.epoch == 1
    assert len(tasks) == 6


@pytest.mark.parametrize("hosts", [2, 4])
def test_any_number_of_hosts_sees_the_same_global_batches(settings, loader, hosts):
    whole = take(loader, 2, 6)
    slices = [take(DocumentLoader(settings, WORDS, p, hosts), 2, 6) for p in range(hosts)]
    for step, batch in enumerate(whole):
        for name, array in batch.arrays.items():
            np.testing.assert_array_equal(np.concatenate([s[step].arrays[name] for s in slices]), array)


def test_resuming_at_any_step_continues_the_stream(settings, loader):
    count = loader.batches_per_epoch + 3
    stream = take(loader, 0, count)
    for start in (1, loader.batches_per_epoch - 1, loader.batches_per_epoch + 1):
        assert_same(take(DocumentLoader(settings, WORDS), start, count - start), stream[start:])


@pytest.mark.parametrize("change", [{"threads": 1}, {"threads": 16, "prefetch": 4}])
def test_threads_and_prefetching_change_nothing(settings, loader, change):
    other = DocumentLoader(dataclasses.replace(settings, **change), WORDS)
    assert_same(take(other, 1, 4), take(loader, 1, 4))
    assert other.fingerprint == loader.fingerprint


def test_every_record_is_in_a_batch_or_accounted_for(loader):
    steps = range(loader.batches_per_epoch)
    seen = [(p.dataset, p.record) for step in steps for row in loader.plan.batch(step)[1] for p in row]
    left = [(x.dataset, x.record) for x in loader.plan.remainder(0)]
    assert sorted(seen + left) == [(d, r) for d, data in enumerate(loader.datasets) for r in range(data.num_records)]


def test_a_dataset_serves_the_tasks_it_is_said_to(settings):
    serves = ("generate", "caption+question", "text")
    plan = DocumentLoader(dataclasses.replace(settings, serves=serves), WORDS).plan
    found = {number: set() for number in range(3)}
    for step in range(plan.batches_per_epoch):
        for row in plan.batch(step)[1]:
            for item in row:
                found[item.dataset].add(item.recipe.task)
    assert found == {0: {"generate"}, 1: {"caption", "question"}, 2: {"text"}}


def test_held_out_batches_are_the_first_of_the_first_epoch(settings, loader):
    assert_same(list(held_out(settings, WORDS, 3)), take(loader, 0, 3))
    assert len(list(held_out(settings, WORDS, 10**6))) == loader.batches_per_epoch
    own = list(held_out(settings, WORDS, 2, 1, 2))
    np.testing.assert_array_equal(own[1].arrays["tokens"], take(loader, 1, 1)[0].arrays["tokens"][2:])


def test_what_a_model_must_know_is_told(loader):
    assert (loader.auxiliary_groups, loader.auxiliary_codebook) == (2, 50)
    assert (loader.master_grid, loader.auxiliary_levels) == (3, 2)
    assert str(loader.buckets[0]) == "300 tokens, 200 auxiliary positions, 2 pairs"
    assert "170 records" in loader.summary()
    assert "of the tokens" in loader.summary()


def test_text_alone_needs_no_codes(settings, folders):
    only = RecipeSettings(TaskWeights(0, 0, 0, 0, 1, 0))
    change = {"datasets": (folders["text"],), "rows": 2, "length": 32, "auxiliary": 0, "pairs": 0, "recipes": only}
    loader = DocumentLoader(dataclasses.replace(settings, **change), WORDS)
    assert loader.kind is None
    (batch,) = take(loader, 0, 1)
    assert batch.arrays["aux_codes"].shape == (2, 0, 1)
    assert (batch.arrays["kinds"] == 1).any()


def test_identity_names_what_changes_the_batches(settings, loader):
    for change, name in [
        ({"seed": 1}, "seed"),
        ({"weights": (1.0, 2.0, 1.0)}, "weights"),
        ({"rows": 2}, "rows"),
        ({"pairs": 1}, "pairs"),
        ({"serves": ("caption", "question", "text")}, "serves"),
        ({"recipes": RecipeSettings(length=250, caption_dropout=0.5)}, "recipes"),
    ]:
        other = DocumentLoader(dataclasses.replace(settings, **change), WORDS)
        assert {k for k in other.identity if loader.identity.get(k) != other.identity[k]} == {name}
        assert other.fingerprint != loader.fingerprint
    assert json.loads(json.dumps(loader.identity)) == loader.identity


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"datasets": ()}, "config.data.datasets is empty"),
        ({"datasets": ("/nowhere",)}, r"config.data.datasets\[0\]: /nowhere: no such folder"),
        ({"weights": (1.0,)}, "config.data.weights has 1 values; want one for each of 3"),
        ({"serves": ("text",)}, "config.data.serves has 1 values; want one for each of 3"),
        ({"serves": ("text", "draw", "text")}, "config.data.serves: no task 'draw'; there are generate, caption,"),
        (
            {"serves": ("text",) * 3, "recipes": RecipeSettings(tasks=TaskWeights(text=0.0))},
            r"config.data.serves: 'text' has no weight in config.data.recipes.tasks",
        ),
        ({"pairs": 0}, "config.data.pairs is 0; the contrastive task wants at least 1"),
        ({"rows": 5}, "config.data.rows is 5; want a multiple of the 2 processes"),
        ({"rows": 4000}, r"config.data.rows is 4000; all documents fill [\d.]+: want at most"),
        ({"text_tokenizer": "/nowhere.json"}, "nowhere.json: cannot be read"),
    ],
)
def test_wrong_settings_end_in_one_line_that_names_the_key(settings, change, words):
    with pytest.raises(InputError, match=words) as caught:
        DocumentLoader(dataclasses.replace(settings, **change), WORDS, 0, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": 100}, "config.vocabulary.text is 100; the text tokenizer has"),
        ({"codes": 64}, "config.vocabulary.codes is 64; the tokenizer of the datasets has 100 master codes: want that"),
        ({"sizes": 7}, "config.vocabulary.sizes is 7; grids of the datasets have up to 8 rows"),
    ],
)
def test_a_vocabulary_without_ids_for_the_data_is_refused(settings, change, words):
    with pytest.raises(InputError, match=words):
        DocumentLoader(settings, dataclasses.replace(WORDS, **change))


def test_another_text_tokenizer_is_refused_with_the_way_out(settings, tmp_path):
    tokenizer = json.loads(SHIPPED.read_text())
    tokenizer["model"]["merges"] = []
    (tmp_path / "bytes.json").write_text(json.dumps(tokenizer))
    with pytest.raises(
        InputError, match=r"datasets\[0\].*another text tokenizer; run the same `ugf prepare` again with --text_t"
    ):
        DocumentLoader(dataclasses.replace(settings, text_tokenizer=str(tmp_path / "bytes.json")), WORDS)


def change_manifest(folder, **changes):
    manifest = open_dataset(folder).manifest | changes
    (folder / "manifest.json").write_text(manifest_text({k: v for k, v in manifest.items() if v is not None}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"lengths": None, "text": None},
            r"datasets\[1\]: .* has no token lengths; run the same `ugf prepare` again to count them",
        ),
        ({"settings": {}}, "its manifest does not say what kind of codes it holds; prepare it again"),
        ({"settings": {"transform": {"digest": "one"}}}, "its manifest does not say what kind of codes it holds"),
        ({"settings": {"transform": {"digest": "two", "codes": CODES}}}, r"datasets\[1\]: .* coded by another tokenizer than"),
        (
            {"settings": {"transform": {"digest": "one", "codes": CODES | {"groups": 4}}}},
            r"datasets\[1\]: .* has codes with groups 4, config\.data\.datasets\[0\] with 2; prepare both with the same --tok",
        ),
    ],
)
def test_datasets_that_do_not_go_together_are_refused(settings, folders, tmp_path, make_record, changes, words):
    write_dataset(tmp_path / "x", [make_record(i) for i in range(30)], 1, MADE)
    change_manifest(tmp_path / "x", **changes)
    with pytest.raises(InputError, match=words):
        DocumentLoader(dataclasses.replace(settings, datasets=(folders["a"], str(tmp_path / "x"))), WORDS)


def test_a_record_that_changed_names_its_dataset(settings, tmp_path, make_record):
    records = [make_record(i) for i in range(30)]
    write_dataset(tmp_path / "x", records, 1, MADE)
    lengths = open_dataset(tmp_path / "x").manifest["lengths"]
    data = (tmp_path / "x" / lengths["name"]).read_bytes()
    write_dataset(tmp_path / "x", [dataclasses.replace(r, captions=("x",) * len(r.captions)) for r in records], 1, MADE)
    (tmp_path / "x" / lengths["name"]).write_bytes(data)
    only = RecipeSettings(TaskWeights(0, 0, 0, 0, 1, 0))
    loader = DocumentLoader(
        dataclasses.replace(settings, datasets=(str(tmp_path / "x"),), rows=1, length=64, recipes=only), WORDS
    )
    with pytest.raises(InputError, match=r"x: record 'r\d+': .* prepare the dataset again"):
        take(loader, 0, 1)


def test_settings_come_from_a_config(folders):
    values = config.config_dict(DocumentSettings())
    values.datasets = (folders["a"],)
    values.recipes.tasks.text = 2.0
    parsed = config.parse(DocumentSettings, values, "config.data")
    assert parsed.recipes.tasks.text == 2.0
    values.weights = (1.0, 2.0)
    with pytest.raises(InputError, match=r"config\.data\.weights has 2 values"):
        config.parse(DocumentSettings, values, "config.data")
