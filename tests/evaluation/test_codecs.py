import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ugf_jax.errors import InputError
from ugf_jax.evaluation import codecs
from ugf_jax.evaluation.metrics import psnr


@pytest.fixture(scope="module")
def drawing():
    rng = np.random.default_rng(0)
    image = np.full((90, 130, 3), 255, np.uint8)
    for _ in range(8):
        color = tuple(int(v) for v in rng.integers(0, 255, 3))
        cv2.circle(image, tuple(int(v) for v in rng.integers(0, 90, 2)), int(rng.integers(5, 30)), color, -1, cv2.LINE_AA)
    return image


def file_size(image, codec, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, quality=quality, **codecs.ENCODERS[codec])
    return len(buffer.getvalue())


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
@pytest.mark.parametrize("budget", [1500, 2500])
def test_the_highest_quality_within_the_budget_is_found(drawing, codec, budget):
    coded = codecs.code_within(drawing, budget, codec)
    sizes = {quality: file_size(drawing, codec, quality) for quality in range(1, 101)}
    assert coded.fits
    assert coded.size == sizes[coded.quality] <= budget
    assert coded.quality == 100 or sizes[coded.quality + 1] > budget
    assert coded.image.shape == drawing.shape
    assert psnr(coded.image, drawing) > 20


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_a_budget_below_the_smallest_file_is_reported_honestly(drawing, codec):
    coded = codecs.code_within(drawing, 10, codec)
    assert not coded.fits
    assert coded.quality == 1
    assert coded.size == file_size(drawing, codec, 1) > 10


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_shrinking_first_never_hurts_and_helps_at_very_low_rates(drawing, codec):
    for budget in (600, 1500, 10**6):
        native = codecs.code_within(drawing, budget, codec)
        best = codecs.best_within(drawing, native, budget, codec)
        assert best.image.shape == drawing.shape
        if native.fits:
            assert psnr(best.image, drawing) >= psnr(native.image, drawing)
            assert best.fits
    assert best is native  # with room for everything nothing is thrown away
    large = cv2.resize(drawing, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    budget = file_size(large, codec, 1) - 300
    native = codecs.code_within(large, budget, codec)
    best = codecs.best_within(large, native, budget, codec)
    assert not native.fits
    assert best.fits
    assert best.size <= budget
    assert best.scale < 1


def test_nothing_fits_gives_the_smallest_file(drawing):
    best = codecs.best_within(drawing, codecs.code_within(drawing, 5, "webp"), 5, "webp")
    assert not best.fits
    assert best.scale == min(codecs.SHRINKS)


def test_unknown_codec_is_named(drawing):
    with pytest.raises(InputError, match="codec 'gif'"):
        codecs.code_within(drawing, 1000, "gif")
