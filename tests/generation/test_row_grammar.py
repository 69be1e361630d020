"""Rows of UniToken: whole images of any size, whatever is chosen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.data.documents import CODE
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.unitoken.layout import UniTokenLayout
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.generation.grammar import Grammar
from ugf_jax.generation.row_grammar import RowGrammar, make_grammar

WORDS = UniTokenVocabulary(
    text=40, sizes=7, codes=16, total=40, eoi=20, boi=21, sep=22, end=23, newline=24, no_size=25, answer=33
)
SIZES = [(1, 1), (2, 1), (1, 3), (2, 2)]


@functools.cache
def compiled(mode):
    rules = RowGrammar(WORDS, 0, mode)
    return rules, jax.jit(lambda rows: (rules.forced(rows), rules.allowed(rows))), jax.jit(rules.advance)


def play(mode, left, seed, likes=()):
    """Tokens of each row, chosen at random among what is allowed, of `likes` where one of these is."""
    rules, look, advance = compiled(mode)
    height, width = (jnp.array([WORDS.size_token(size[i]) for size in SIZES]) for i in (0, 1))
    rows = rules.start(jnp.array(left, jnp.int32), height, width)
    rng, found = np.random.default_rng(seed), [[] for _ in left]
    while bool(jnp.any(rows.active)):
        forced, allowed = (np.asarray(x) for x in look(rows))
        assert allowed.any(axis=1).all()
        options = [np.flatnonzero(row) + rules.window[0] for row in allowed]
        options = [[t for t in likes if t in own] or own for own in options]
        token = np.where(forced >= 0, forced, [rng.choice(own) for own in options])
        for row in np.flatnonzero(rows.active):
            found[row].append(int(token[row]))
        rows = rules.go_on(advance(rows, jnp.asarray(token, jnp.int32)))
    return found


def test_a_drawn_row_is_the_span_of_its_size_as_documents_have_it():
    rules = compiled("draw")[0]
    lengths = [rules.length(size) + 1 for size in SIZES]
    for row, size, length in zip(play("draw", [max(lengths)] * 4, 0), SIZES, lengths, strict=True):
        assert len(row) == length
        (codes,) = rules.images(np.array(row))
        assert codes.shape == (2 * size[0], 2 * size[1])
        span = UniTokenLayout(WORDS).image(0, ImageCodes(codes, (), (), (0, 0)), "generated").special(WORDS.end)
        document = span.document("x")
        assert document.tokens.tolist() == row
        assert (document.kinds == CODE).sum() == length - 2


def test_an_image_is_begun_only_if_it_fits():
    left = [10, 30, 17, 60]
    for row, size, room in zip(play("free", left, 1, likes=(WORDS.boi,)), SIZES, left, strict=True):
        images = compiled("free")[0].images(np.array(row))
        assert len(images) == room // compiled("free")[0].length(size)
        assert len(row) <= room
        assert row.count(WORDS.boi) == len(images)
    for row in play("text", left, 2, likes=(WORDS.boi, WORDS.newline)):
        assert WORDS.boi not in row


def test_the_vocabulary_decides():
    assert type(make_grammar(WORDS, 4, "free")) is RowGrammar
    assert type(make_grammar(VocabularySettings(), 4, "free")) is Grammar
