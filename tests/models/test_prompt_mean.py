"""Codes are told the mean of the words before them in their document, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.prompt_mean import counted, mean_words, running_sums

RNG = np.random.default_rng(0)
# Two documents in a row of ten: three words, two codes, a word, a code; then a word and two codes.
CELLS = np.array([[-1, -1, -1, 0, 1, -1, 0, -1, 0, 1]])
POSITIONS = np.array([[*range(7), *range(3)]])
X = RNG.standard_normal((1, 10, 4)).astype(np.float32)


def unit(mean):
    return mean / np.sqrt(np.mean(mean**2))


def test_the_mean_is_over_the_words_before_of_the_same_document():
    found = np.asarray(mean_words(running_sums(jnp.asarray(X), CELLS, POSITIONS), CELLS))[0]
    words = X[0]
    for at, said in ((3, [0, 1, 2]), (4, [0, 1, 2]), (6, [0, 1, 2, 5]), (8, [7]), (9, [7])):
        np.testing.assert_allclose(found[at], unit(words[said].mean(0)), rtol=1e-4)
    np.testing.assert_array_equal(found[[0, 1, 2, 5, 7]], 0)


def test_token_by_token_gives_the_same_sums():
    sums, total = np.asarray(running_sums(jnp.asarray(X), CELLS, POSITIONS)), np.zeros((1, 5))
    for at in range(10):
        total = np.where(POSITIONS[:, at, None] == 0, 0, total) + counted(jnp.asarray(X[:, at]), CELLS[:, at])
        np.testing.assert_allclose(sums[:, at], total, rtol=1e-5, atol=1e-5)


def test_a_document_without_words_is_told_nothing():
    cells = np.arange(4)[None]
    sums = running_sums(jnp.asarray(X[:, :4]), cells, np.arange(4)[None])
    np.testing.assert_array_equal(mean_words(sums, cells), 0)
    gradient = jax.grad(lambda x: jnp.sum(mean_words(running_sums(x, cells, np.arange(4)[None]), cells) ** 2))(X[:, :4])
    assert np.isfinite(gradient).all()
