"""Batches of UniToken's documents: the same on any number of hosts, every record once an epoch, both kinds of datasets."""

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
from ugf_jax.data.unitoken.records import write_records
from ugf_jax.errors import InputError

VISION = AnyResSettings(size=28, patch=14, pinpoints=((28, 56), (56, 28)))


def image_codes(i, auxiliary=()):
    return ImageCodes(np.random.default_rng(i).integers(0, 16, (2, 2)), *auxiliary, (32, 32))


@pytest.fixture(scope="module")
def records(tmp_path_factory, text, words):
    """Ten requests for images, the question telling which."""
    folder = tmp_path_factory.mktemp("records")
    documents = []
    for i in range(10):
        Image.fromarray(np.full((20, 30, 3), 20 * i, np.uint8)).save(folder / f"{i}.png")
        turns = [("human", "abcdefghij"[i]), ("gpt", "<|image|>")]
        documents.append((conversation(turns, [Seen(image_codes(i, ((), ())))], text, words, None), [f"{i}.png"]))
    write_records(folder / "r.jsonl", documents)
    return str(folder / "r.jsonl")


@pytest.fixture(scope="module")
def settings(records):
    return UniTokenData(datasets=(records,), rows=4, length=48, vision=VISION, threads=1)


def test_batches_have_their_specs_and_an_epoch_every_record_once(settings, words, take):
    loader = UniTokenLoader(dataclasses.replace(settings, rows=5), words)
    batches = take(loader, 2)
    specs = loader.specs(loader.buckets[0])
    assert batches[0].keys() == specs.keys()
    assert all(x.shape == specs[n][0] and x.dtype == specs[n][1] for n, x in batches[0].items())
    asked = np.concatenate([b["tokens"][:, 1] for b in batches])
    assert sorted(asked) == list(range(34, 44))
    for batch in batches:
        shade = batch["crops"][:, 0, 0, 0, 0]
        np.testing.assert_array_equal(shade, 20 * (batch["tokens"][:, 1] - 34))  # the image that the question asks for
        assert (batch["features"].max(axis=1) == 3 * 4 - 1).all()
        assert (batch["features"][batch["tokens"] == words.newline] == -1).all()


def test_hosts_read_slices_of_the_same_batch_from_any_step(settings, words, take):
    whole = take(UniTokenLoader(settings, words), 3)
    parts = [take(UniTokenLoader(settings, words, i, 2), 2, start=1) for i in range(2)]
    for step in range(2):
        for name, x in whole[step + 1].items():
            np.testing.assert_array_equal(x, np.concatenate([part[step][name] for part in parts]))


def test_prompts_are_dropped_for_guidance(settings, words, take):
    loader = UniTokenLoader(dataclasses.replace(settings, caption_dropout=0.5), words)
    first = np.concatenate([b["tokens"][:, 0] for b in take(loader, 10)])
    assert set(first) <= {words.bos}  # pre-tokenised records do not tell what is a prompt
    always = dataclasses.replace(settings, caption_dropout=1.0)
    assert UniTokenLoader(always, words).identity != loader.identity


def test_prepared_datasets_bring_memory(tmp_path, words, text_file, take):
    def record(i):
        data = io.BytesIO()
        Image.fromarray(np.full((20, 30, 3), 9 * i, np.uint8)).save(data, "PNG")
        auxiliary = (np.full((2, 3, 2), i % 9),), (np.ones((2, 3), bool),)
        return Record(f"{i}", (data.getvalue(),), ((20, 30),), (f"thing {i}",), codes=(image_codes(i, auxiliary),))

    write_dataset(tmp_path / "d", [record(i) for i in range(6)], 1, {"transform": {}})
    settings = UniTokenData(
        datasets=(str(tmp_path / "d"),),
        text_tokenizer=text_file,
        rows=3,
        length=96,
        auxiliary=8,
        groups=2,
        vision=VISION,
        threads=1,
    )
    (batch,) = take(UniTokenLoader(settings, words), 1)
    assert not batch["aux_segments"].any()  # a generated image that nothing looks at later has no memory
    dropped = dataclasses.replace(settings, caption_dropout=1.0)
    (alone,) = take(UniTokenLoader(dropped, words), 1)
    assert (alone["tokens"][:, 0] == words.boi).all()
    assert (batch["tokens"][:, 0] == words.bos).all()


class TextOf:
    """A text tokenizer that knows one id."""

    def __init__(self, token):
        self.token_id = token

    def encode(self, text):
        return [self.token_id]


def test_the_tokenizer_of_another_model_is_refused(words):
    with pytest.raises(InputError, match="gives id 4, code 0; want the model's own"):
        conversation([("human", "a")], [], TextOf(4), words, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"datasets": ()}, "config.data.datasets is empty"),
        ({"datasets": ("none.jsonl",)}, "config.data.datasets[0]: none.jsonl: cannot be read"),
        ({"rows": 11}, "config.data.rows is 11; the datasets have 10 documents only"),
        ({"weights": (1.0, 2.0)}, "config.data.weights has 2 values for 1 datasets"),
    ],
)
def test_wrong_settings_are_refused(settings, words, change, message):
    with pytest.raises(InputError) as caught:
        UniTokenLoader(dataclasses.replace(settings, **change), words)
    assert message in str(caught.value)
