"""Parts of documents keep what belongs to their tokens."""

import numpy as np

from ugf_jax.data.records import ImageCodes
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.cutting import cut, without_prompt
from ugf_jax.data.unitoken.layout import UniTokenLayout

VISION = AnyResSettings(size=28, patch=14, pinpoints=())
CODES = ImageCodes(np.arange(4).reshape(2, 2), (), (), (32, 32))


def document(words):
    layout = UniTokenLayout(words, VISION).text([40, 41])
    layout.image(0, CODES, "generated", decided=True, region=np.zeros((28, 28, 3), np.uint8))
    return layout.special(words.end, trained=True).document("x")


def test_without_prompt_it_begins_at_boi(words):
    whole = document(words)
    alone = without_prompt(whole, whole.spans[0])
    np.testing.assert_array_equal(alone.tokens, whole.tokens[2:])
    np.testing.assert_array_equal(alone.features, whole.features[2:])
    assert alone.tokens[0] == words.boi
    assert alone.kinds[0] == 0
    assert (alone.kinds[1:] == whole.kinds[3:]).all()
    assert (alone.spans[0].start, alone.spans[0].end) == (0, len(alone) - 2)


def test_a_cut_document_keeps_whole_images_only(words):
    whole = document(words)
    assert cut(whole, 99) is whole
    short = cut(whole, 8)
    assert len(short) == len(short.kinds) == len(short.features) == 8
    assert short.spans == ()
    assert len(cut(whole, len(whole) - 1).spans) == 1
