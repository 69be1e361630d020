"""The sequence of an image, against the sequence written out by hand."""

import numpy as np
import pytest

from ugf_jax.data.documents import CODE, NEVER, NOTHING, TEXT
from ugf_jax.data.records import ImageCodes
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.layout import UniTokenLayout, grid_tokens, read_images
from ugf_jax.data.unitoken.vocabulary import UniTokenVocabulary
from ugf_jax.errors import InputError

VISION = AnyResSettings(size=28, patch=14, pinpoints=((28, 56), (56, 28)))


def codes(*rows):
    master = np.array(rows)
    return ImageCodes(master, (), (), (16 * master.shape[0], 16 * master.shape[1]))


def test_a_square_of_512_pixels_has_the_tokens_of_the_original():
    words = UniTokenVocabulary()
    master = np.arange(1024).reshape(32, 32)
    tokens = grid_tokens(master, words)
    assert tokens[:2] == [8820, 8820]
    assert len(tokens) - 2 == 1056
    assert tokens[2:36] == [*range(4, 36), 8803, 36]
    made = UniTokenLayout(words).image(0, codes(*master), "context").document("x")
    assert (made.tokens[0], made.tokens[-1]) == (8197, 8196)
    assert (read_images(made.tokens, words)[0] == master).all()


def test_a_span_with_features_written_out(words):
    region = np.zeros((28, 56, 3), np.uint8)
    layout = UniTokenLayout(words, VISION).image(0, codes([0, 1], [2, 15]), "context", region=region)
    made = layout.document("x")
    features = [1, 1, 1, 1, *([1] * 4 + [24]) * 2]  # four of the base crop; two rows of four and a newline
    assert made.tokens.tolist() == [21, 26, 26, 4, 5, 24, 6, 19, 24, 22, *features, 20]
    places = [0, 1, 2, 3, 4, 5, 8, 9, -1, 6, 7, 10, 11, -1]
    assert made.features.tolist() == [*[-1] * 10, *places, -1]
    assert made.crops.shape == (3, 28, 28, 3)
    assert made.cells.tolist() == [-1, -1, -1, 0, 1, -1, 2, 3, *[-1] * 17]
    assert made.kinds.tolist() == [NOTHING] * 9 + [TEXT] + [NOTHING] * 15  # SEP alone
    assert made.spans[0].release == 0


def test_a_second_image_counts_its_features_on(words):
    region = np.zeros((28, 56, 3), np.uint8)
    layout = UniTokenLayout(words, VISION)
    for number in range(2):
        layout.image(number, codes([0, 1], [2, 15]), "context", region=region)
    made = layout.document("x")
    half = len(made) // 2
    one, two = made.features[:half], made.features[half:]
    assert (np.where(one < 0, -1, one + 12) == two).all()
    assert len(made.crops) == 6


def test_a_generated_image_is_trained_on_whole(words):
    made = UniTokenLayout(words).image(0, codes([0, 1], [2, 3]), "generated", decided=True).special(words.end).document("x")
    assert made.kinds.tolist() == [TEXT, *[CODE] * 9, NOTHING]
    assert made.features is None
    assert made.spans[0].release == NEVER
    looked_at = UniTokenLayout(words).image(0, codes([0, 1], [2, 3]), "generated").text([40]).document("x")
    assert looked_at.spans[0].release == 9


def test_pre_tokenised_sequences_get_their_features(words):
    region = np.zeros((28, 56, 3), np.uint8)
    whole = UniTokenLayout(words, VISION).text([40]).image(0, codes([0, 1], [2, 3]), "context", region=region)
    whole.text([41], trained=True)
    bare = UniTokenLayout(words).text([40]).image(0, codes([0, 1], [2, 3]), "context").text([41], trained=True).document("x")
    again = UniTokenLayout(words, VISION).pieces(bare.tokens.tolist(), (bare.kinds > 0).tolist(), [region]).document("x")
    wanted = whole.document("x")
    for name in ("tokens", "kinds", "features", "crops"):
        np.testing.assert_array_equal(getattr(again, name), getattr(wanted, name))


def test_what_has_no_token_is_refused(words):
    with pytest.raises(InputError, match="1x2 codes; want even numbers"):
        grid_tokens(np.zeros((1, 2), int), words)
    with pytest.raises(InputError, match="codes is 16; an image has code 16"):
        grid_tokens(np.full((2, 2), 16), words)
    with pytest.raises(InputError, match="sizes is 7; an image with a grid of 8"):
        grid_tokens(np.zeros((16, 2), int), words)
    assert read_images(np.array([21, 26, 26, 4, 5]), words) == []  # cut short
