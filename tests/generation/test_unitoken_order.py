"""UniToken samples from guidance, then grammar, then top k: the same distributions as the original's processors give."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.generation.grammar import CODES, Rows
from ugf_jax.generation.guidance import guide
from ugf_jax.generation.row_grammar import RowGrammar
from ugf_jax.generation.sampling import Sampling, SamplingSettings, shape_logits

KNOWN = np.load(pathlib.Path(__file__).parent.parent / "fixtures" / "unitoken.npz")
# Guidance, top k and temperature, as in the script of the fixture.
HOW = ((3.0, 5, 1.0), (4.0, 3, 0.7), (1.0, 12, 1.3), (5.5, 100, 1.0))
WORDS = UniTokenVocabulary(
    text=48, sizes=7, codes=16, total=48, eoi=20, boi=21, sep=22, end=23, newline=24, no_size=25, answer=33
)


def rows(count):
    sizes = jnp.full(count, WORDS.size_token(1))
    return Rows(jnp.full(count, CODES), jnp.zeros(count, jnp.int32), jnp.full(count, 99), sizes, sizes)


def test_distributions_are_those_of_the_original():
    grammar = RowGrammar(WORDS, 0, "draw")
    first, last = grammar.window
    allowed = grammar.allowed(rows(4))
    for expected, (scale, top_k, temperature) in zip(KNOWN["distributions"], HOW, strict=True):
        logits = guide(jnp.asarray(KNOWN["conditional"]), jnp.asarray(KNOWN["unconditional"]), scale)[:, first:last]
        shaped = shape_logits(logits, allowed, Sampling.of(SamplingSettings(temperature, top_k)))
        np.testing.assert_allclose(jax.nn.softmax(shaped, axis=-1), expected[:, first:last], atol=2e-6)
        assert not expected[:, :first].any()
        assert not expected[:, last:].any()
        assert ((np.asarray(shaped) > -np.inf).sum(axis=-1) == min(top_k, 16)).all()


def test_another_order_is_another_distribution():
    """A control: the top k among all ids, before the grammar, leaves fewer codes."""
    logits = guide(jnp.asarray(KNOWN["conditional"]), jnp.asarray(KNOWN["unconditional"]), 3.0)
    everything = jnp.ones_like(logits, bool)
    early = shape_logits(logits, everything, Sampling.of(SamplingSettings(1.0, 5)))[:, 4:20]
    assert ((np.asarray(early) > -np.inf).sum(axis=-1) < 5).any()
