import base64
import io

import numpy as np
import pytest
from PIL import Image

from ugf_jax.evaluation import gallery
from ugf_jax.evaluation.metrics import psnr


def sample(row, value, aspect):
    return {"row": row, "aspect": aspect, "key": str(row), "variants": {"full": {"psnr": value}}}


def test_medians_by_aspect_from_wide_to_tall_then_best_median_worst():
    samples = [sample(i, float(v), a) for i, (v, a) in enumerate([(9, "1:1"), (1, "1:1"), (5, "1:1"), (7, "1:3"), (8, "3:1")])]
    samples.append({"row": 9, "rejected": "truncated"})
    assert [c.row for c in gallery.choose(samples)] == [4, 2, 3, 0, 3, 1]
    assert [c.reason for c in gallery.choose(samples)][-3:] == ["best of all", "median of all", "worst of all"]
    assert gallery.choose(samples[-1:]) == []


def test_the_most_frequent_aspects_are_shown_where_room_is_short():
    samples = [sample(i, float(i), a) for i, a in enumerate(["2:1", "1:1", "1:1", "1:2", "1:2", "4:1"])]
    shown = [c.sample["aspect"] for c in gallery.choose(samples, most=5)[:2]]
    assert shown == ["1:1", "1:2"]


def test_residual_is_gray_where_equal_and_signed_elsewhere():
    image = np.full((2, 2, 3), 100, np.uint8)
    assert set(np.unique(gallery.residual(image, image))) == {128}
    other = image + np.array([10, 0, 0], np.uint8)
    assert gallery.residual(image, other, 3)[0, 0].tolist() == [98, 128, 128]
    assert gallery.residual(np.full_like(image, 255), np.zeros_like(image)).min() == 255


def decoded(picture):
    kind, data = picture.uri.split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_pictures_shrink_until_they_fit():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (300, 700, 3), np.uint8)
    smooth = np.broadcast_to(np.linspace(0, 255, 700).astype(np.uint8)[None, :, None], (300, 700, 3))
    ((picture,),) = gallery.encode_pictures([[gallery.Tile("a", smooth, "note")]])
    assert (picture.width, picture.height, picture.name, picture.note) == (700, 300, "a", "note")
    assert decoded(picture).shape == (219, 512, 3)
    ((small,),) = gallery.encode_pictures([[gallery.Tile("a", smooth[:, :100].copy())]])
    assert psnr(decoded(small), smooth[:, :100]) > 35
    tiles = [[gallery.Tile("a", noise)] * 4] * 2
    limit = 250_000
    pictures = gallery.encode_pictures(tiles, limit)
    assert sum(len(p.uri) for row in pictures for p in row) * 3 / 4 < limit * 1.01
    assert max(decoded(pictures[0][0]).shape) < 512


@pytest.mark.parametrize("size", [(1, 900), (900, 1)])
def test_extreme_shapes_keep_at_least_one_pixel(size):
    ((picture,),) = gallery.encode_pictures([[gallery.Tile("a", np.zeros((*size, 3), np.uint8))]])
    assert min(decoded(picture).shape[:2]) == 1
