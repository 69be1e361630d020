import numpy as np
import pytest
import scipy.ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ugf_jax.errors import InputError
from ugf_jax.evaluation import metrics


def pair(height, width, noise=20.0, seed=0):
    rng = np.random.default_rng(seed)
    smooth = 128 + 400 * scipy.ndimage.gaussian_filter(rng.uniform(-1, 1, (height, width, 3)), (2, 2, 0))
    noisy = smooth + noise * rng.normal(size=smooth.shape)
    return tuple(np.clip(v, 0, 255).astype(np.uint8) for v in (noisy, smooth))


@pytest.mark.parametrize("size", [(11, 11), (12, 40), (65, 33), (120, 90)])
@pytest.mark.parametrize("noise", [2.0, 60.0])
def test_psnr_and_ssim_equal_scikit_image(size, noise):
    image, reference = pair(*size, noise)
    assert metrics.psnr(image, reference) == pytest.approx(peak_signal_noise_ratio(reference, image, data_range=255), abs=1e-9)
    expected = structural_similarity(
        image, reference, channel_axis=-1, data_range=255, gaussian_weights=True, use_sample_covariance=False
    )
    assert metrics.ssim(image, reference) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (10, 300)])
def test_small_images_have_finite_measures(size):
    image, reference = pair(*size)
    assert metrics.ssim(image, image) == pytest.approx(1)
    assert -1 <= metrics.ssim(image, reference) <= 1
    assert metrics.psnr(image, image) == metrics.PSNR_CEILING


def test_images_of_other_shapes_or_types_are_refused():
    image, _ = pair(8, 8)
    for other in (image[:4], image[..., :1], image.astype(np.float32)):
        for measure in (metrics.psnr, metrics.ssim):
            with pytest.raises(InputError, match="one shape"):
                measure(image, other)


def test_standard_error_shrinks_with_the_root_of_n_and_covers_the_mean():
    rng = np.random.default_rng(1)
    trials = [metrics.estimate(rng.normal(3.0, 2.0, 100)) for _ in range(400)]
    assert np.mean([t.stderr for t in trials]) == pytest.approx(0.2, rel=0.05)
    covered = np.mean([abs(t.value - 3.0) < 1.96 * t.stderr for t in trials])
    assert covered == pytest.approx(0.95, abs=0.03)
    assert metrics.estimate([1.0, 2.0, 3.0]) == metrics.Estimate(2.0, pytest.approx(1 / np.sqrt(3)), 3)
    assert metrics.estimate([5.0]) == metrics.Estimate(5.0, None, 1)
    with pytest.raises(ValueError, match="no values"):
        metrics.estimate([])


def test_usage_and_perplexity_of_known_codebooks():
    even = np.array([4, 4, 0, 4, 0, 4])
    assert metrics.codebook_usage(even) == pytest.approx(4 / 6)
    assert metrics.perplexity(even) == pytest.approx(4)
    assert metrics.perplexity(np.array([7, 0, 0])) == pytest.approx(1)
    assert 1 < metrics.perplexity(np.array([90, 5, 5])) < 3
    assert metrics.perplexity(np.zeros(4)) == 0
