"""Requests as arrays: aligned, padded to few shapes, refused where they make no sense."""

import numpy as np
import pytest

from ugf_jax.data.documents import NEVER, Layout
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.vocabulary import VocabularySettings
from ugf_jax.errors import InputError
from ugf_jax.generation.requests import (
    Request,
    check,
    master_codes,
    memory_arrays,
    prompt_arrays,
    round_rows,
    round_up,
)

WORDS = VocabularySettings(text=6, sizes=4, codes=5)


def codes(kept=6, seed=0):
    rng = np.random.default_rng(seed)
    flags = (np.arange(6) < kept).reshape(2, 3)
    return ImageCodes(rng.integers(0, 5, (2, 2)), (rng.integers(0, 9, (2, 3, 2)),), (flags,), (16, 24))


def document(length, image=None):
    layout = Layout(WORDS)
    if image is not None:
        layout.image(0, image, "context")
    return layout.text([1] * length).special(WORDS.assistant).document("test")


def test_few_shapes():
    assert [round_up(n, 32) for n in (0, 1, 32, 33)] == [32, 32, 32, 64]
    assert [round_rows(n) for n in (1, 2, 3, 5, 8, 9, 17)] == [1, 2, 4, 8, 8, 16, 24]


def test_prompts_end_together_and_keep_their_positions():
    first, second = document(3), document(1, codes(4))
    arrays = prompt_arrays([first, second], 2, WORDS.pad)
    assert arrays["tokens"].shape == (2, 33)
    assert (arrays["tokens"][:, -1] == WORDS.assistant).all()
    for row, one in enumerate((first, second)):
        there = arrays["segments"][row] == 1
        assert there[-len(one) :].all()
        assert not there[: -len(one)].any()
        np.testing.assert_array_equal(arrays["tokens"][row][there], one.tokens)
        np.testing.assert_array_equal(arrays["cells"][row][there], one.cells)
        np.testing.assert_array_equal(arrays["positions"][row][there], np.arange(len(one)))
        assert (arrays["tokens"][row][~there] == WORDS.pad).all()
    assert arrays["aux_codes"].shape == (2, 64, 2)
    np.testing.assert_array_equal(arrays["aux_segments"].sum(axis=1), [0, 4])


def test_without_memory_there_are_no_auxiliary_codes():
    for groups, prompts in ((0, [document(1, codes())]), (2, [document(1)])):
        assert prompt_arrays(prompts, groups, WORDS.pad)["aux_segments"].shape == (1, 0)


def test_the_memory_of_some_rows():
    arrays = memory_arrays({1: (codes(3), 17), 2: (codes(6), 9)}, rows=4, groups=2)
    np.testing.assert_array_equal(arrays["aux_segments"].sum(axis=1), [0, 3, 6, 0])
    assert set(arrays["aux_releases"][1, :3]) == {17}
    assert set(arrays["aux_releases"][2, :6]) == {9}
    assert (arrays["aux_releases"][arrays["aux_segments"] == 0] == NEVER).all()
    np.testing.assert_array_equal(arrays["aux_codes"][2, :6], codes(6).auxiliary[0].reshape(-1, 2))
    assert (arrays["aux_places"][2, :6, 2:] == np.float32([1 / 2, 1 / 3])).all()


def test_whole_images_are_found_among_tokens():
    image = codes()
    tokens = document(2, image).tokens
    (found,) = master_codes(np.concatenate([[1], tokens]), WORDS, 2)
    np.testing.assert_array_equal(found, image.master)
    assert master_codes(tokens[:6], WORDS, 2) == []
    assert len(master_codes(np.concatenate([tokens, tokens]), WORDS, 2)) == 2


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "none; want at least one"),
        ([Request(document(1)), Request(document(1), seed=2**32)], r"requests\[1\].seed is 4294967296"),
        ([Request(document(1), size=(0, 2))], "0 rows or columns"),
        ([Request(Layout(WORDS).document("test"))], r"requests\[0\].prompt is empty"),
    ],
)
def test_senseless_requests_are_refused(requests, message):
    with pytest.raises(InputError, match=message):
        check(requests, WORDS)
    check([Request(document(1), seed=2**32 - 1, size=(4, 4))], WORDS)
