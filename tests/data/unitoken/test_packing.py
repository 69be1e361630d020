"""Several documents a row: sizes are known beforehand, each document is what it is alone, and none is lost uncounted."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from ugf_jax.data.records import ImageCodes, Record
from ugf_jax.data.shards import write_dataset
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.conversation import conversation
from ugf_jax.data.unitoken.layout import Seen
from ugf_jax.data.unitoken.loader import UniTokenData, UniTokenLoader
from ugf_jax.data.unitoken.packing import DocumentSize, PackedShape, choose
from ugf_jax.data.unitoken.records import TokenRecords, write_records
from ugf_jax.errors import InputError

VISION = AnyResSettings(size=28, patch=14, pinpoints=((28, 56), (56, 28), (56, 56)))
COUNT = 40


def picture(i):
    """Of a shade and a shape that only this record has."""
    return np.full((20 + i % 7 * 9, 30 + i % 3 * 11, 3), 3 * i + 1, np.uint8)


def codes(i, auxiliary=((), ())):
    return ImageCodes(np.random.default_rng(i).integers(0, 16, (2, 2)), *auxiliary, (32, 32))


@pytest.fixture(scope="module")
def files(tmp_path_factory, text, words):
    """The same records twice, with and without the sizes of their images; every fourth has no image."""
    folder = tmp_path_factory.mktemp("records")
    documents = []
    for i in range(COUNT):
        Image.fromarray(picture(i)).save(folder / f"{i}.png")
        shown = i % 4 > 0
        turns = [("human", "<|image|>" * shown + "abcdefghij"[i % 10] * (i % 5)), ("gpt", "abcdefghij"[i // 10] * (1 + i % 3))]
        images = [Seen(codes(i))] * shown
        documents.append((conversation(turns, images, text, words, None), [f"{i}.png"] * shown))
    write_records(folder / "bare.jsonl", documents)
    write_records(folder / "sized.jsonl", documents, folder)
    return folder


@pytest.fixture(scope="module")
def settings(files):
    return UniTokenData(
        datasets=(str(files / "sized.jsonl"),), rows=2, length=128, packed=True, images=2, vision=VISION, threads=1
    )


def size_of(document):
    return DocumentSize(len(document), document.auxiliary, 0 if document.crops is None else len(document.crops))


@pytest.mark.parametrize("vision", [VISION, None], ids=("seen", "unseen"))
@pytest.mark.parametrize("name", ["bare.jsonl", "sized.jsonl"])
def test_a_document_is_as_large_as_it_was_said_to_be(files, words, name, vision):
    records = TokenRecords(files / name)
    found = [records.size(i, words, vision) for i in range(COUNT)]
    assert found == [size_of(records.document(i, words, vision)) for i in range(COUNT)]
    assert {size.crops for size in found} == ({0, 3, 5} if vision else {0})


def pieces(batch):
    """Documents of a batch, each as what a row of its own has of it; the pixels that each feature comes from."""
    for row in range(len(batch["tokens"])):
        for segment in range(1, batch["segments"][row].max() + 1):
            own = batch["segments"][row] == segment
            numbers = batch["features"][row][own]
            shades = batch["crops"][row].reshape(len(batch["crops"][row]), -1).max(axis=1).astype(int)  # of crops
            seen = np.where(numbers < 0, -1, shades[numbers // VISION.grid**2])
            offset = numbers[numbers >= 0].min(initial=2**30) // VISION.grid**2 * VISION.grid**2
            within = np.where(numbers < 0, -1, numbers - offset)
            yield tuple(
                tuple(x.tolist()) for x in (*(batch[n][row][own] for n in ("tokens", "kinds", "positions")), seen, within)
            )


def test_each_document_is_what_it_is_in_a_row_of_its_own_and_none_is_lost(settings, words, take):
    loader = UniTokenLoader(settings, words)
    packed = [piece for batch in take(loader, loader.batches_per_epoch) for piece in pieces(batch)]
    alone = UniTokenLoader(dataclasses.replace(settings, packed=False), words)
    all_pieces = [piece for batch in take(alone, COUNT // settings.rows) for piece in pieces(batch)]
    assert len(set(all_pieces)) == COUNT
    assert len(set(packed)) == len(packed)
    assert set(packed) <= set(all_pieces)
    left = list(loader.plan.remainder(0))
    assert len(packed) + len(left) == COUNT
    assert loader.batches_per_epoch * 2 <= alone.batches_per_epoch  # positive control: rows hold several
    assert "documents a row" in loader.summary()


def test_rows_stay_within_what_they_have_room_for(settings, words, take):
    loader = UniTokenLoader(settings, words)
    for batch in take(loader, loader.batches_per_epoch):
        assert {n: x.shape for n, x in batch.items()} == {n: shape for n, (shape, _) in loader.specs(loader.buckets[0]).items()}
        used = (batch["crops"].reshape(2, settings.crops, -1).max(axis=2) > 0).sum(axis=1)
        assert (used <= settings.crops).all()
        assert batch["features"].max() < settings.crops * VISION.grid**2


def test_hosts_read_slices_of_the_same_batch_from_any_step(settings, words, take):
    whole = take(UniTokenLoader(settings, words), 4)
    parts = [take(UniTokenLoader(settings, words, i, 2), 3, start=1) for i in range(2)]
    for step in range(3):
        for name, x in whole[step + 1].items():
            np.testing.assert_array_equal(x, np.concatenate([part[step][name] for part in parts]))


def test_sizes_that_are_noted_change_nothing_but_what_is_opened(settings, files, words, take):
    bare = dataclasses.replace(settings, datasets=(str(files / "bare.jsonl"),))
    for one, other in zip(take(UniTokenLoader(settings, words), 2), take(UniTokenLoader(bare, words), 2), strict=True):
        for name, x in one.items():
            np.testing.assert_array_equal(x, other[name])


def test_batches_of_one_document_a_row_are_what_they_were(settings, words):
    """A run that began before rows could be packed goes on."""
    alone, packed = (UniTokenLoader(dataclasses.replace(settings, packed=p), words).identity for p in (False, True))
    assert "packed" not in alone
    assert packed == alone | {"packed": True}


def test_prepared_documents_tell_their_size_and_bring_memory(tmp_path, words, text_file, take):
    def record(i):
        data = io.BytesIO()
        Image.fromarray(picture(i)).save(data, "PNG")
        auxiliary = (np.full((2, 3, 2), i % 9),), (np.ones((2, 3), bool),)
        turns = ({"from": "human", "value": "a<|image|>"}, {"from": "gpt", "value": "b" * (i + 1)})
        shape = picture(i).shape[:2]
        return Record(f"{i}", (data.getvalue(),), (shape,), turns=turns, codes=(codes(i, auxiliary),))

    write_dataset(tmp_path / "d", [record(i) for i in range(12)], 1, {"transform": {}})
    settings = UniTokenData(
        (str(tmp_path / "d"),), text_tokenizer=text_file, rows=1, length=200, auxiliary=24, groups=2, packed=True, images=3,
        vision=VISION, threads=1,
    )  # fmt: skip
    loader = UniTokenLoader(settings, words)
    (records,) = loader.datasets
    assert all(records.size(i, words, VISION) == size_of(records.document(i, words, VISION)) for i in range(12))
    for batch in take(loader, loader.batches_per_epoch):
        documents = batch["segments"].max()
        assert set(batch["aux_segments"][0]) - {0} == set(range(1, documents + 1))  # each image is looked at by its own text
        assert (batch["aux_segments"] > 0).sum() == 6 * documents
    assert documents > 1


def test_what_a_row_has_no_room_for_is_cut_or_refused(settings, files, text, words):
    shape = PackedShape(10, 4, 0, 2)
    assert choose(DocumentSize(12, 5, 2), 7, shape).sizes == (10, 0, 2)
    assert choose(DocumentSize(9, 4, 0), 7, shape).sizes == (9, 4, 0)
    two = conversation([("human", "<|image|>" * 2), ("gpt", "a")], [Seen(codes(0)), Seen(codes(1))], text, words, None)
    write_records(files / "two.jsonl", [(two, ["1.png", "2.png"])] * 2)
    own = dataclasses.replace(settings, datasets=(str(files / "two.jsonl"),), rows=1)
    needed = TokenRecords(files / "two.jsonl").size(0, words, VISION).crops
    assert UniTokenLoader(own, words).settings.crops >= needed
    with pytest.raises(
        InputError, match=rf"config.data.images: .*two.jsonl, record \d has {needed} crops, and a row has room for 5"
    ):
        UniTokenLoader(dataclasses.replace(own, images=1), words)


def test_records_that_say_other_sizes_than_their_images_have_are_refused(settings, files, words):
    lines = (files / "sized.jsonl").read_text().splitlines()
    wrong = files / "wrong.jsonl"
    for old, new, message in (
        ('"size": [[29, 41]]', '"size": [[29, 40]]', r"record 1: size of 1.png is \[29, 40\]; it has \[29, 41\]"),
        ('"size": [[29, 41]]', '"size": [[29]]', r"record 1: size is \[\[29\]\]; want \[\[height, width\], …\]"),
        ('"size": [[29, 41]]', '"size": [[29, 41], [1, 1]]', "record 1: 2 size for 1 raw_image"),
    ):
        assert old in lines[1]
        wrong.write_text("\n".join([lines[0], lines[1].replace(old, new)]))
        with pytest.raises(InputError, match=message):
            TokenRecords(wrong).document(1, words, VISION)
