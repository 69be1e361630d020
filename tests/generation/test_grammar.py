"""Whatever is chosen among what the grammar allows, the result is a valid sequence of text and whole image spans."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.generation import grammar
from ugf_jax.generation.grammar import CODES, DONE, TEXT, WAITING, Grammar

WORDS = VocabularySettings(text=6, sizes=4, codes=5)
GRID = 2
SPAN = GRID**2 + 4
HEIGHT, WIDTH = WORDS.size_token(3), WORDS.size_token(4)


@functools.cache
def compiled(mode):
    rules = Grammar(WORDS, GRID, mode)
    return rules, jax.jit(lambda rows: (rules.forced(rows), rules.allowed(rows))), jax.jit(rules.advance)


def play(mode, left, seed, likes=None):
    """Rows of tokens chosen at random among what is allowed (`likes`, where it can be); rows that wait go on."""
    rules, look, advance = compiled(mode)
    left = np.array(left, np.int32)
    rows = rules.start(jnp.asarray(left), jnp.full(len(left), HEIGHT), jnp.full(len(left), WIDTH))
    rng, found = np.random.default_rng(seed), [[] for _ in left]
    while bool(jnp.any(rows.active)):
        forced, allowed = (np.asarray(x) for x in look(rows))
        assert allowed.any(axis=1).all()
        chosen = [rng.choice(np.flatnonzero(row)) + rules.window[0] for row in allowed]
        if likes is not None and rules.window[0] <= likes < rules.window[1]:
            chosen = np.where(allowed[:, likes - rules.window[0]], likes, chosen)
        token = np.where(forced >= 0, forced, chosen)
        for row in np.flatnonzero(rows.active):
            found[row].append(int(token[row]))
        rows = rules.go_on(advance(rows, jnp.asarray(token, jnp.int32)))
    return found


def kinds(tokens):
    """A row as letters: t text, E end, [ BOI, h and w sizes, c code, ] EOI, ? anything else."""
    names = {WORDS.end: "E", WORDS.boi: "[", HEIGHT: "h", WIDTH: "w", WORDS.eoi: "]"}

    def letter(token):
        if token < WORDS.text:
            return "t"
        return names.get(token, "c" if WORDS.first_code <= token < WORDS.first_code + WORDS.codes else "?")

    return "".join(map(letter, tokens))


def test_a_drawn_row_is_one_span_and_end():
    for row in play("draw", [SPAN + 1] * 5, seed=0):
        assert kinds(row) == "[hwcccc]E"


def test_a_row_of_text_has_no_image_and_ends_or_is_cut():
    found = [kinds(row) for seed in range(5) for row in play("text", [1, 2, 7, 30], seed)]
    for row, left in zip(found, [1, 2, 7, 30] * 5, strict=True):
        assert set(row[:-1]) <= {"t"}
        assert row[-1] == "E" or len(row) == left
    assert any(row[-1] == "t" for row in found)
    assert any(row[-1] == "E" for row in found)
    assert kinds(play("text", [9], seed=0, likes=WORDS.boi)[0]).count("[") == 0


@pytest.mark.parametrize("likes", [None, WORDS.boi])
def test_a_free_row_holds_whole_spans_between_texts(likes):
    found = [kinds(row) for seed in range(4) for row in play("free", [1, SPAN - 1, SPAN, 5 * SPAN, 7 * SPAN + 3], seed, likes)]
    for row in found:
        rest = row.replace("[hwcccc]", "")
        assert set(rest[:-1]) <= {"t"}, row
        assert rest[-1:] in ("", "t", "E")
    if likes is not None:
        assert [row.count("[") for row in found[:5]] == [0, 0, 1, 5, 7]


def test_a_row_with_nothing_left_is_done_at_once_and_stays():
    assert play("draw", [0, SPAN + 1], seed=0)[0] == []
    assert play("text", [0, 3], seed=0)[0] == []
    rules = Grammar(WORDS, GRID, "text")
    rows = rules.start(*(jnp.zeros(1, jnp.int32),) * 3)
    after = rules.advance(rows, jnp.array([1]))
    jax.tree.map(np.testing.assert_array_equal, rows, after)
    assert rules.forced(rows) == WORDS.pad


def test_a_free_row_waits_after_its_image():
    rules = Grammar(WORDS, GRID, "free")
    rows = rules.start(jnp.array([SPAN, SPAN + 1]), *(jnp.zeros(2, jnp.int32),) * 2)
    for token in (WORDS.boi, HEIGHT, WIDTH, *[WORDS.first_code] * 4):
        assert not (rows.phase == WAITING).any()
        rows = rules.advance(rows, jnp.array([token] * 2))
    assert (rules.forced(rows) == WORDS.eoi).all()
    rows = rules.advance(rows, jnp.array([WORDS.eoi] * 2))
    assert (rows.phase == WAITING).all()
    assert not rows.active.any()
    np.testing.assert_array_equal(rules.go_on(rows).phase, [DONE, TEXT])


def test_cells_count_codes():
    rules = Grammar(WORDS, GRID, "draw")
    rows = rules.start(jnp.array([SPAN + 1]), *(jnp.zeros(1, jnp.int32),) * 2)
    cells = []
    for token in (WORDS.boi, HEIGHT, WIDTH, *[WORDS.first_code] * 4, WORDS.eoi):
        cells += [int(rows.cell[0])] if rows.phase[0] == CODES else []
        rows = rules.advance(rows, jnp.array([token]))
    assert cells == [0, 1, 2, 3]
    assert rows.cell[0] == 0


def test_no_logits_are_needed_outside_the_window():
    for mode in grammar.MODES:
        first, last = Grammar(WORDS, GRID, mode).window
        chosen = {"draw": {"c"}, "text": {"t", "E"}, "free": {"t", "E", "[", "c"}}[mode]
        inside = set(kinds(range(first, last)))
        assert chosen <= inside
        assert last <= WORDS.total
