import numpy as np

from ugf_jax.data.records import ImageCodes
from ugf_jax.evaluation import sample


def codes(kept):
    return ImageCodes(
        np.arange(16, dtype=np.uint32).reshape(4, 4), (np.arange(18, dtype=np.uint32).reshape(3, 3, 2),), (kept,), (48, 48)
    )


def bits(c):
    return {"master": 10.0 * c.master.size, "auxiliary": 20.0 * c.kept[0].sum()}


def test_codes_survive_packing():
    values = np.random.default_rng(0).integers(0, 2**20, 500)
    np.testing.assert_array_equal(sample.unpack_codes(sample.pack_codes(values)), values)
    assert sample.unpack_codes(sample.pack_codes(np.zeros(0, np.uint32))).size == 0


def test_only_kept_codes_are_counted_and_logged():
    kept = np.zeros((3, 3), bool)
    kept[1, 2] = kept[2, 0] = True
    image = np.full((40, 45, 3), 200, np.uint8)
    canvas = np.full((48, 48, 3), 190, np.uint8)
    canvas[40:] = 0  # beyond the image, so of no consequence
    rates = {0.5: (codes(kept), canvas)}
    found = sample.measure_image(image, codes(kept), canvas, np.full_like(canvas, 199), rates, bits, ())
    assert found["variants"]["full"]["tokens"] == 16 + 2
    assert found["variants"]["full"]["bytes"] == (160 + 40) / 8
    assert found["variants"]["master"]["bits_per_pixel"] == 160 / (40 * 45)
    np.testing.assert_allclose(found["variants"]["master"]["psnr"], 20 * np.log10(255 / 10))
    np.testing.assert_allclose(found["variants"]["full"]["psnr"], 20 * np.log10(255))
    assert found["rates"]["0.5"]["auxiliary_tokens"] == 2
    assert found["rates"]["0"]["psnr"] == found["variants"]["master"]["psnr"]
    assert sample.unpack_codes(found["codes"]["auxiliary"]).tolist() == [10, 11, 12, 13]
    assert sample.unpack_codes(found["codes"]["master"]).tolist() == list(range(16))


def test_codecs_get_the_bytes_of_all_codes():
    image = np.random.default_rng(1).integers(0, 255, (30, 30, 3), np.uint8)
    variants = sample.compare(image, 800, ("jpeg", "webp"))
    assert set(variants) == {"jpeg", "jpeg_resized", "webp", "webp_resized"}
    for v in variants.values():
        assert (v["bytes"] <= 800) == bool(v["within_budget"])
        assert v["bits_per_pixel"] == v["bytes"] * 8 / 900
