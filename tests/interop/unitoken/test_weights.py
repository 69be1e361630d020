"""A published UniToken, read: its loss on a padded batch against `transformers` (see fixtures/make_unitoken), and its ids."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.data.collate import collate_row
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.layout import UniTokenLayout
from ugf_jax.errors import InputError
from ugf_jax.interop.source import open_source
from ugf_jax.interop.unitoken.weights import code_order, read_transformer, token_names, vocabulary_of
from ugf_jax.models.fusion import FusionTransformer, Tokens
from ugf_jax.training.stages import unitoken
from ugf_jax.training.stages.tokenizer import to_float

CANVASES = {"1": (56, 28), "2": (56, 56)}
LENGTH = 64


@pytest.fixture(scope="module")
def words(folder):
    return vocabulary_of(token_names(folder / "tokenizer.json"), 48, 16, "tokenizer.json")


@pytest.fixture(scope="module")
def batch(known, words):
    """The fixture's batch, made by our layout: its crops, our places for their features."""
    rows = []
    for number, one in known["documents"].items():
        vision, regions = None, [None]
        if number in CANVASES:
            vision = AnyResSettings(28, 14, (CANVASES[number],))
            regions = [np.zeros((one["size"][1], one["size"][0], 3), np.uint8)]
        layout = UniTokenLayout(words, vision).pieces(one["token"], [x != -100 for x in one["label"]], regions)
        made = layout.document("x")
        row = collate_row([(made,)], RowShape(LENGTH, 0, 0), 1, words.pad)
        row["features"], row["crops"] = np.full(LENGTH, -1, np.int32), np.zeros((5, 28, 28, 3), np.uint8)
        if made.crops is not None:
            row["features"][: len(made)] = made.features
            row["crops"][: len(made.crops)] = known[f"crops {number}"]
        rows.append(row)
    return {name: jnp.asarray(np.stack([row[name] for row in rows])) for name in rows[0]}


@pytest.fixture(scope="module")
def model(folder):
    return read_transformer(open_source(folder))


def test_hidden_states_and_loss_are_those_of_the_original(model, batch, known, words):
    settings, params = model
    stage_settings = unitoken.Settings(vocabulary=words, model=settings)

    @jax.jit
    def run(params, batch):
        network = FusionTransformer(settings, 48)
        seen = network.apply({"params": params}, to_float(batch["crops"]), batch["features"], method="see")
        hidden = network.apply({"params": params}, Tokens.of(batch), None, seen)
        return hidden, unitoken.build(stage_settings).loss(params, {}, batch, jax.random.key(0), 0)

    hidden, (total, (_, parts)) = run(params, batch)
    length = known["hidden"].shape[1]
    there = np.asarray(batch["segments"])[:, :length] > 0
    assert there.sum(axis=1).max() == length  # the longest document is as long as theirs
    np.testing.assert_allclose(np.asarray(hidden)[:, :length][there], known["hidden"][there], atol=1e-4, rtol=1e-5)
    assert parts["loss/text"] + parts["loss/image"] == pytest.approx(known["loss"]["nll"], rel=1e-5)
    assert parts["loss/z"] == pytest.approx(known["loss"]["z"], rel=1e-5)
    assert total == pytest.approx(known["loss"]["total"], rel=1e-5)

    apart = dataclasses.replace(stage_settings.objective, joint=False)  # a control: other averages are another number
    other = unitoken.build(dataclasses.replace(stage_settings, objective=apart))
    assert abs(other.loss(params, {}, batch, jax.random.key(0), 0)[0] - total) > 0.1


def test_settings_are_read_from_the_files(model):
    settings, params = model
    assert (settings.depth, settings.block.kv_heads, settings.qk_norm, settings.cross_every) == (3, 2, "layer", 0)
    assert (settings.vision.image_size, settings.vision.patch, settings.vision.depth) == (28, 14, 2)
    assert params.keys() == {"embed", "layers", "norm", "head", "vision", "adapter"}


def test_ids_are_read_from_their_names(words, folder):
    assert (words.boi, words.eoi, words.sep, words.end, words.newline, words.no_size) == (21, 20, 22, 23, 24, 25)
    assert (words.first_code, words.codes, words.sizes, words.total) == (4, 16, 7, 48)
    names = token_names(folder / "tokenizer.json")
    assert code_order(names) == list(range(15, -1, -1))
    assert code_order({"a": 1}) == []
    del names["<eoss>"]
    with pytest.raises(InputError, match="has no token <eoss>"):
        vocabulary_of(names, 48, 16, "file")
    with pytest.raises(InputError, match="from 4 to 19; want 8 side by side"):
        vocabulary_of(token_names(folder / "tokenizer.json"), 48, 8, "file")
