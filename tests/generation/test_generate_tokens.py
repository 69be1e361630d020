"""Whole generations against full forward passes in NumPy: which tokens, with which probability, of any rows in a batch."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.data.collate import collate_row
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.documents import Layout
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.generation import generate_tokens
from ugf_jax.generation.generate_tokens import GenerationSettings, TokenGenerator
from ugf_jax.generation.requests import Request
from ugf_jax.generation.sampling import SamplingSettings
from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.models.memory import MemorySettings

WORDS = VocabularySettings(text=12, sizes=4, codes=10)
GRID, SPAN = 2, 8
SETTINGS = FusionSettings(
    width=32,
    depth=2,
    heads=4,
    kv_heads=2,
    cross_every=2,
    prompt_mean=True,
    gate=0.7,
    grid=GRID,
    memory=MemorySettings(width=16, groups=2, codes=9, heads=2),
    embedding=0,
)
GREEDY = SamplingSettings(temperature=0.0)
WARM = GenerationSettings(SamplingSettings(3.0, 11, 0.97), SamplingSettings(1.6, 8, 0.95), 2.5)


def image_codes(seed, rows=2, columns=3):
    rng = np.random.default_rng(seed)
    auxiliary = rng.integers(0, 9, (rows, columns, 2)).astype(np.uint16)
    master = rng.integers(0, WORDS.codes, (GRID, GRID)).astype(np.uint16)
    return ImageCodes(master, (auxiliary,), (rng.random((rows, columns)) < 0.8,), (16, 24))


def prompt(length, seed=0, image=False):
    layout = Layout(WORDS).special(WORDS.user)
    if image:
        layout.image(0, image_codes(seed), "context")
    text = np.random.default_rng(seed).integers(0, WORDS.text, length).tolist()
    return layout.text(text).special(WORDS.end).special(WORDS.assistant).document("test")


@functools.cache
def model_parameters():
    model = FusionTransformer(SETTINGS, WORDS.total)
    arrays = batch_arrays([prompt(1, image=True)], [[]], [()])
    shapes = jax.eval_shape(functools.partial(model.init, method="everything"), jax.random.key(0), arrays)["params"]

    def fill(path, shape):
        noise = np.random.default_rng(6 + sum(map(ord, str(path)))).standard_normal(shape.shape, np.float32)
        return 1 + 0.3 * noise if "scale" in str(path[-1]) else noise * (0.5 if noise.ndim < 2 else shape.shape[-2] ** -0.5)

    return model, jax.tree_util.tree_map_with_path(fill, shapes)


@pytest.fixture(scope="module")
def generator():
    return TokenGenerator(SETTINGS, WORDS, model_parameters()[1])


def batch_arrays(prompts, continuations, images):
    """Prompts and what follows as rows of a training batch; `images` of each row: what was drawn and then looked at."""
    rows = []
    for document, tokens, drawn in zip(prompts, continuations, images, strict=True):
        layout, tokens, drawn = Layout(WORDS), [int(t) for t in tokens], list(drawn)
        while tokens:  # spans are laid out as in training
            if tokens[0] == WORDS.boi and drawn:
                codes = dataclasses.replace(drawn.pop(0), master=np.array(tokens[3:7]).reshape(2, 2) - WORDS.first_code)
                layout.image(0, codes, "generated")
                assert layout._tokens[-SPAN:] == tokens[:SPAN]
                del tokens[:SPAN]
            else:
                layout.special(tokens.pop(0))
        after = layout.document("test")
        ids, cells = (np.concatenate([getattr(d, name) for d in (document, after)]) for name in ("tokens", "cells"))
        for start in np.flatnonzero(ids == WORDS.boi):
            cells[start + 3 : start + 7] = np.arange(GRID * GRID)[: max(len(cells) - start - 3, 0)]
        shift = len(document)
        whole = dataclasses.replace(
            document,
            tokens=ids,
            kinds=np.concatenate([document.kinds, after.kinds]),
            cells=cells,
            spans=document.spans
            + tuple(
                dataclasses.replace(s, start=s.start + shift, end=s.end + shift, release=s.end + shift) for s in after.spans
            ),
        )
        rows.append(collate_row([(whole,)], RowShape(96, 64, 0), 2, WORDS.pad))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@jax.jit
def full_logits(params, arrays):
    model = FusionTransformer(SETTINGS, WORDS.total)
    memory = model.apply({"params": params}, arrays, method="remember")
    hidden = model.apply({"params": params}, Tokens.of(arrays), memory)
    return model.apply({"params": params}, hidden, method="logits")


def next_logits(prompts, continuations, images=None):
    """For each row float64 `[n, vocabulary]`: logits from which each token of the continuation was chosen."""
    room = 4 - len(prompts)  # one shape: one compilation
    prompts, continuations = [*prompts, *[prompts[0]] * room], [*continuations, *[[]] * room]
    arrays = batch_arrays(prompts, continuations, [*(images or [()] * (4 - room)), *[()] * room])
    logits = np.asarray(full_logits(model_parameters()[1], arrays), np.float64)
    return [x[len(p) - 1 :][: len(c)] for x, p, c in zip(logits, prompts, continuations, strict=True)][: 4 - room]


def expected(logits, allowed, settings):
    """Log-probabilities of the masked distribution at a temperature, cut to the top k and the top p."""
    row = np.full(len(logits), -np.inf)
    row[allowed] = logits[allowed] / settings.temperature
    order = np.argsort(-row)
    if settings.top_k:
        row[order[settings.top_k :]] = -np.inf
    weights = np.exp(row - row.max())
    weights /= weights.sum()
    row[order[np.cumsum(weights[order]) - weights[order] >= settings.top_p]] = -np.inf
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


TEXT = [*range(WORDS.text), WORDS.end]
CODES = list(range(WORDS.first_code, WORDS.first_code + WORDS.codes))


def tokens_of(result, row):
    return result.row(row).tolist()


def requests_of(*prompts, seed=11):
    return [Request(p, seed=seed + number, size=(2, 3)) for number, p in enumerate(prompts)]


PROMPTS = (prompt(3, 1), prompt(9, 2, image=True), prompt(1, 3, image=True), prompt(20, 4))


def test_greedy_text_is_the_likeliest_of_the_full_forward_pass(generator):
    how = GenerationSettings(GREEDY, GREEDY)
    found = generator.generate(requests_of(*PROMPTS), how, "text", limit=12)
    rows = [tokens_of(found, i) for i in range(4)]
    for row, logits in zip(rows, next_logits(PROMPTS, rows), strict=True):
        np.testing.assert_array_equal(row, np.array(TEXT)[logits[:, TEXT].argmax(axis=1)])
    assert len({tuple(row) for row in rows}) == 4  # the prompts matter
    assert not found.log_probabilities.any()
    for row, length, ended in zip(rows, found.lengths, found.ended, strict=True):
        assert ended == (row[-1] == WORDS.end)
        assert ended or length == 12
        assert WORDS.end not in row[:-1]
    again = generator.generate(requests_of(*PROMPTS), how, "text", limit=12)
    np.testing.assert_array_equal(found.tokens, again.tokens)


def test_log_probabilities_of_text_are_those_of_the_distribution_it_is_drawn_from(generator):
    found = generator.generate(requests_of(*PROMPTS), WARM, "text", limit=30)
    rows = [tokens_of(found, i) for i in range(4)]
    for number, (row, logits) in enumerate(zip(rows, next_logits(PROMPTS, rows), strict=True)):
        wanted = [expected(x, TEXT, WARM.text)[t] for x, t in zip(logits, row, strict=True)]
        np.testing.assert_allclose(found.log_probabilities[number, : len(row)], wanted, atol=2e-3)
    assert not found.log_probabilities[np.arange(found.tokens.shape[1]) >= found.lengths[:, None]].any()


def unconditional(rows):
    """The codes of drawn rows as documents of their own, which begin with BOI."""
    begin = Layout(WORDS).special(WORDS.boi).document("test")
    return [begin] * len(rows), [row[1:] for row in rows]


@pytest.fixture(scope="module")
def drawn(generator):
    """Four images, guided."""
    return generator.generate(requests_of(*PROMPTS), WARM, "draw")


def test_drawn_rows_are_spans_of_the_requested_size(drawn):
    for i in range(4):
        row = tokens_of(drawn, i)
        assert row[:3] == [WORDS.boi, WORDS.size_token(2), WORDS.size_token(3)]
        assert row[7:] == [WORDS.eoi, WORDS.end]
        assert set(row[3:7]) <= set(CODES)
    assert drawn.ended.all()
    assert len({tuple(tokens_of(drawn, i)) for i in range(4)}) > 1


def test_guided_log_probabilities_against_two_full_forward_passes(drawn):
    rows = [tokens_of(drawn, i) for i in range(4)]
    moved = 0
    for i, (c, u) in enumerate(zip(next_logits(PROMPTS, rows), next_logits(*unconditional(rows)), strict=True)):
        for place in range(3, 7):
            guided = u[place - 1] + WARM.guidance * (c[place] - u[place - 1])
            wanted = expected(guided, CODES, WARM.image)[rows[i][place]]
            np.testing.assert_allclose(drawn.log_probabilities[i, place], wanted, atol=5e-3)
            moved = max(moved, np.abs(wanted - expected(c[place], CODES, SamplingSettings(1.6))[rows[i][place]]))
        assert not drawn.log_probabilities[i, [0, 1, 2, 7, 8]].any()  # forced
    assert moved > 0.1


def test_guidance_of_scale_1_is_none(generator):
    one = dataclasses.replace(WARM, guidance=1.0)
    nearly = dataclasses.replace(WARM, guidance=1.0 + 1e-6)  # runs the unconditional contexts all the same
    plain, guided = (generator.generate(requests_of(*PROMPTS), how, "draw") for how in (one, nearly))
    np.testing.assert_array_equal(plain.tokens, guided.tokens)
    np.testing.assert_allclose(plain.log_probabilities, guided.log_probabilities, atol=1e-3)
    rows = [tokens_of(plain, i) for i in range(4)]
    for i, logits in enumerate(next_logits(PROMPTS, rows)):
        wanted = [expected(logits[place], CODES, WARM.image)[rows[i][place]] for place in range(3, 7)]
        np.testing.assert_allclose(plain.log_probabilities[i, 3:7], wanted, atol=2e-3)


def test_a_row_depends_on_its_prompt_and_seed_only(generator, drawn):
    asked = requests_of(*PROMPTS)
    others = [Request(prompt(7, 9), seed=5), asked[1], Request(prompt(2, 8), seed=6, size=(4, 1)), asked[3]]
    found = generator.generate(others, WARM, "draw")
    for row in (1, 3):
        assert tokens_of(found, row) == tokens_of(drawn, row)
        np.testing.assert_allclose(found.log_probabilities[row], drawn.log_probabilities[row], atol=1e-4)
    assert tokens_of(found, 2)[1:3] == [WORDS.size_token(4), WORDS.size_token(1)]
    alone = generator.generate(asked[1:2], WARM, "draw")
    assert tokens_of(alone, 0) == tokens_of(drawn, 1)
    reseeded = generator.generate([dataclasses.replace(r, seed=r.seed + 100) for r in asked], WARM, "draw")
    assert (reseeded.tokens != drawn.tokens).any(axis=1).sum() >= 3


def test_samples_share_a_prompt_and_differ(generator, drawn):
    asked = requests_of(*PROMPTS)[1:3]
    found = generator.generate(asked, WARM, "draw", samples=3)
    assert len(found.tokens) == 6
    for number in range(2):
        assert tokens_of(found, 3 * number) == tokens_of(drawn, number + 1)
        assert len({tuple(tokens_of(found, 3 * number + i)) for i in range(3)}) > 1


LIMIT, SEED = 60, 8


@pytest.fixture(scope="module")
def free(generator):
    """Text and images as the model decides: rows, all that was remembered of each, and how often the run stopped."""
    remembered, stops = {i: [] for i in range(4)}, 0
    run = generator.start(requests_of(*PROMPTS, seed=SEED), WARM, "free", limit=LIMIT)
    while run.advance():
        stops += 1
        images = {}
        for row, codes in run.waiting().items():
            assert codes.shape == (GRID, GRID)
            images[row] = dataclasses.replace(image_codes(100 + stops + row), master=codes)
        run.remember(images)
        for row, codes in images.items():
            remembered[row].append(codes)
    return run.result(), remembered, stops


def test_images_lie_between_texts_and_are_remembered(free):
    found, remembered, stops = free
    counts = [tokens_of(found, i).count(WORDS.boi) for i in range(4)]
    assert counts == [len(remembered[i]) for i in range(4)]
    assert max(counts) >= 2
    assert stops >= 2
    for i in range(4):
        row = tokens_of(found, i)
        for start in np.flatnonzero(np.array(row) == WORDS.boi):
            assert row[start + 7] == WORDS.eoi
            master = remembered[i][row[:start].count(WORDS.boi)].master
            np.testing.assert_array_equal(np.array(row[start + 3 : start + 7]) - WORDS.first_code, master.ravel())


def test_probabilities_are_those_with_the_memory_of_what_was_drawn(free):
    found, remembered, _ = free
    rows = [tokens_of(found, i) for i in range(4)]
    with_memory = next_logits(PROMPTS, rows, [remembered[i] for i in range(4)])
    without = next_logits(PROMPTS, rows)
    changed = 0
    for i, row in enumerate(rows):
        for place, token in enumerate(row):
            if token in TEXT or token == WORDS.boi:
                left = LIMIT - place
                allowed = [*TEXT, WORDS.boi] if left >= SPAN else TEXT
                wanted = expected(with_memory[i][place], allowed, WARM.text)[token]
                np.testing.assert_allclose(found.log_probabilities[i, place], wanted, atol=5e-3)
                changed = max(changed, np.abs(wanted - expected(without[i][place], allowed, WARM.text)[token]))
    assert changed > 0.05


def test_streaming_tells_the_same_tokens_and_stops_early(generator):
    whole = generator.generate(requests_of(*PROMPTS), WARM, "text", limit=60)
    run = generator.start(requests_of(*PROMPTS), WARM, "text", limit=60)
    first = int(run._state.slot)
    told = [[], [], [], []]
    for chunk in run.stream(chunk=4):
        assert max(map(len, chunk)) <= 4
        told = [old + new.tolist() for old, new in zip(told, chunk, strict=True)]
    assert told == [tokens_of(whole, i) for i in range(4)]
    assert not run.advance()
    assert int(run._state.slot) - first == whole.lengths.max() < 60  # no step after the last row has ended


@pytest.mark.slow
def test_room_grows_when_it_is_used_up(generator, monkeypatch):
    whole = generator.generate(requests_of(*PROMPTS), WARM, "text", limit=30)
    monkeypatch.setattr(generate_tokens, "ROOM", 8)
    grown = generator.generate(requests_of(*PROMPTS), WARM, "text", limit=30)
    np.testing.assert_array_equal(whole.tokens, grown.tokens)
    np.testing.assert_allclose(whole.log_probabilities, grown.log_probabilities, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"requests": []}, "there are none"),
        ({"mode": "paint"}, "mode is 'paint'; want one of draw, text, free"),
        ({"limit": 0}, "limit is 0"),
        ({"requests": [Request(PROMPTS[0], seed=-1)]}, r"requests\[0\].seed is -1"),
        ({"requests": [Request(PROMPTS[0], size=(5, 1))]}, "sizes is 4"),
        ({"requests": [Request(Layout(WORDS).document("test"))]}, r"requests\[0\].prompt is empty"),
    ],
)
def test_what_cannot_be_done_is_refused(generator, arguments, message):
    with pytest.raises(InputError, match=message):
        generator.start(**{"requests": requests_of(*PROMPTS), "how": WARM, "mode": "text", "limit": 5} | arguments)


def test_a_model_without_memory_ignores_auxiliary_codes():
    settings = dataclasses.replace(SETTINGS, cross_every=0, depth=1)
    params = {name: x for name, x in model_parameters()[1].items() if name != "memory"}
    params["layers"] = {"block_0": params["layers"]["block_0"]}
    found = TokenGenerator(settings, WORDS, params).generate(requests_of(*PROMPTS[1:2]), WARM, "draw")
    assert found.ended.all()
    assert jnp.isfinite(found.log_probabilities).all()
