import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from skimage.metrics import structural_similarity

from ugf_jax.config import parse
from ugf_jax.errors import InputError
from ugf_jax.objectives import reconstruction as r

SIZES = [(1, 1), (3, 8), (45, 33)]
TERMS = ("l1", "l2", "gradient", "laplacian", "ms_ssim")
ALL = r.ReconstructionWeights(l1=1.0, l2=1.0, gradient=1.0, laplacian=1.0, ms_ssim=1.0)


def pair(height, width, batch=2, noise=0.2, seed=0):
    rng = np.random.default_rng(seed)
    x = scipy.ndimage.gaussian_filter(rng.uniform(-1, 1, (batch, height, width, 3)), (0, 2, 2, 0)) * 2
    return np.clip(x, -1, 1).astype(np.float32), np.clip(x + noise * rng.normal(size=x.shape), -1, 1).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_equal_images_cost_nothing_and_others_something_at_every_size(size):
    x, y = pair(*size)
    loss = jax.jit(lambda p, t: r.reconstruction_loss(p, t, ALL))
    np.testing.assert_allclose(loss(x, x)[0], 0, atol=2e-6)
    total, terms = loss(y, x)
    assert set(terms) == set(TERMS)
    assert all(0 < float(v) < 10 for name, v in terms.items() if name != "gradient" or size != (1, 1))
    np.testing.assert_allclose(total, sum(terms.values()), rtol=1e-6)


def test_weights_scale_terms_and_zero_leaves_them_out():
    x, y = pair(32, 48)
    total, terms = r.reconstruction_loss(
        y, x, r.ReconstructionWeights(l1=2.0, l2=0.0, gradient=0.0, laplacian=3.0, ms_ssim=0.0)
    )
    assert set(terms) == {"l1", "laplacian"}
    np.testing.assert_allclose(total, 2 * terms["l1"] + 3 * terms["laplacian"], rtol=1e-6)
    with pytest.raises(InputError, match=r"weights\.l1"):
        parse(r.ReconstructionWeights, {"l1": -1.0}, "weights")


def test_pixel_losses_equal_numpy():
    x, y = pair(20, 28)
    np.testing.assert_allclose(r.l1(y, x), np.abs(y - x).mean(), rtol=1e-5)
    np.testing.assert_allclose(r.l2(y, x), ((y - x) ** 2).mean(), rtol=1e-5)
    d = y - x
    expected = np.abs(np.diff(d, axis=1)).mean() + np.abs(np.diff(d, axis=2)).mean()
    np.testing.assert_allclose(r.gradient(y, x), expected, rtol=1e-5)


def test_gradient_ignores_an_offset_and_laplacian_does_not():
    x, _ = pair(32, 32)
    np.testing.assert_allclose(r.gradient(x + 0.3, x), 0, atol=1e-6)
    np.testing.assert_allclose(r.laplacian(x + 0.3, x), 0.3, rtol=1e-4)  # only the coarsest band holds it


def test_laplacian_bands_equal_scipy():
    x, y = pair(37, 24)
    band, expected = (y - x).astype(np.float64), 0.0
    taps = np.array([1, 4, 6, 4, 1]) / 16
    for _ in range(3):
        blurred = scipy.ndimage.convolve1d(band, taps, axis=1, mode="nearest")
        blurred = scipy.ndimage.convolve1d(blurred, taps, axis=2, mode="nearest")
        expected += np.abs(band - blurred).mean()
        band = blurred[:, ::2, ::2]
    expected += np.abs(band).mean()
    assert min(band.shape[1:3]) < 4  # the fourth level does not fit
    np.testing.assert_allclose(r.laplacian(y, x), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [(176, 200), (47, 90)])
def test_ms_ssim_equals_scales_taken_from_scikit_image(size):
    x, y = pair(*size)
    scales = r.scales_of(*size)
    exponents = np.array(r.MS_SSIM_EXPONENTS[:scales]) / sum(r.MS_SSIM_EXPONENTS[:scales])
    for i, score in enumerate(np.asarray(jax.jit(r.ms_ssim)(y, x))):
        a, b = y[i].astype(np.float64) @ r.LUMA, x[i].astype(np.float64) @ r.LUMA
        expected = 1.0
        for scale in range(scales):
            if scale:
                a, b = (v[: len(v) // 2 * 2, : v.shape[1] // 2 * 2] for v in (a, b))
                a, b = ((v[::2, ::2] + v[1::2, ::2] + v[::2, 1::2] + v[1::2, 1::2]) / 4 for v in (a, b))
            keywords = {"data_range": 2.0, "gaussian_weights": True, "use_sample_covariance": False, "full": True}
            _, ssim = structural_similarity(a, b, **keywords)
            if scale < scales - 1:  # luminance is divided out of all but the coarsest scale
                ma, mb = (scipy.ndimage.gaussian_filter(v, 1.5, truncate=3.5) for v in (a, b))
                ssim = ssim * (ma**2 + mb**2 + 0.02**2) / (2 * ma * mb + 0.02**2)
            expected *= ssim[5:-5, 5:-5].mean() ** exponents[scale]
        np.testing.assert_allclose(score, expected, atol=1e-4)


def test_scales_are_those_that_fit_an_eleven_pixel_window():
    assert [r.scales_of(s, 512) for s in (4, 11, 21, 22, 44, 88, 175, 176, 4000)] == [1, 1, 1, 2, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("size", [(1, 1), (24, 40)])
def test_gradients_are_finite_even_for_inverted_images(size):
    x, y = pair(*size)
    gradient = jax.jit(jax.grad(lambda p, t: r.reconstruction_loss(p, t, ALL)[0]))
    for prediction, target in ((y, x), (-x, x), (jnp.zeros_like(x), x), (x, x)):
        assert np.isfinite(gradient(prediction, target)).all()


@pytest.mark.parametrize("name", TERMS)
def test_descending_each_loss_alone_brings_luma_nearer(name):
    x, y = pair(32, 32, batch=1)
    weights = r.ReconstructionWeights(**{n: float(n == name) for n in TERMS})
    step = jax.jit(jax.grad(lambda p: r.reconstruction_loss(p, x, weights)[0]))
    moved = y
    for _ in range(30):
        slope = step(moved)
        moved = moved - 0.01 * slope / np.sqrt(np.mean(slope**2))
    before, after = (np.mean(((v - x) @ np.array(r.LUMA)) ** 2) for v in (y, moved))
    assert after < 0.9 * before


def test_bfloat16_images_are_compared_in_float32():
    x, y = (jnp.asarray(v).astype(jnp.bfloat16) for v in pair(32, 32))
    loss = jax.jit(lambda p, t: r.reconstruction_loss(p, t, ALL)[0])
    assert loss(y, x).dtype == jnp.float32
    np.testing.assert_allclose(loss(y, x), loss(y.astype(jnp.float32), x.astype(jnp.float32)), rtol=1e-5)
