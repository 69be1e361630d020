"""Measures of one reconstructed image, of a codebook, and means with their standard errors."""

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np

from ugf_jax.errors import InputError

PSNR_CEILING = 100.0  # of equal images, whose PSNR is infinite and could not be averaged
SSIM_RADIUS = 5
SSIM_SIGMA = 1.5


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over items.

    Attributes:
      value: the mean, or a single measurement.
      stderr: standard error of the mean; None where one item, or a whole set at once, was measured.
      n: number of items.
    """

    value: float
    stderr: float | None
    n: int


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean of `values` and its standard error (sample standard deviation over √n).

    Raises:
      ValueError: there are none.
    """
    array = np.asarray(values, np.float64)
    if not array.size:
        raise ValueError("no values to average")
    stderr = float(array.std(ddof=1) / math.sqrt(array.size)) if array.size > 1 else None
    return Estimate(float(array.mean()), stderr, array.size)


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of uint8 arrays of one shape, over all pixels and channels; at most 100."""
    _check(image, reference)
    error = np.mean(np.square(image.astype(np.float64) - reference))
    return PSNR_CEILING if error == 0 else min(PSNR_CEILING, float(10 * np.log10(255.0**2 / error)))


def ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity of uint8 `[height, width, 3]`, the mean over channels and fully covered windows.

    Wang et al. 2004 with its Gaussian window (11 pixels, sigma 1.5), as scikit-image computes it with `gaussian_weights` and
    without sample covariance. An image with a side below 11 pixels takes the largest odd window that fits.
    """
    _check(image, reference)
    radius = min(SSIM_RADIUS, (min(image.shape[:2]) - 1) // 2)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SSIM_SIGMA) ** 2)
    taps /= taps.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def window(values: np.ndarray) -> np.ndarray:
        filtered = cv2.sepFilter2D(values, cv2.CV_64F, taps, taps)
        return filtered[radius : filtered.shape[0] - radius, radius : filtered.shape[1] - radius]

    x, y = image.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = window(x), window(y)
    variances = window(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = window(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


def codebook_usage(counts: np.ndarray) -> float:
    """Share of the codes that were used at all; `counts` is `[codebook size]`."""
    return float(np.count_nonzero(counts) / len(counts))


def perplexity(counts: np.ndarray) -> float:
    """Number of equally likely codes with the same entropy: between 1 and the codebook size; 0 for no codes.

    With fewer codes counted than the codebook has entries it says more about the sample than about the codebook.
    """
    total = counts.sum()
    if not total:
        return 0.0
    shares = counts[counts > 0] / total
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _check(image: np.ndarray, reference: np.ndarray) -> None:
    if image.shape != reference.shape or image.dtype != np.uint8 or reference.dtype != np.uint8:
        raise InputError(
            f"images to compare are {image.dtype}{image.shape} and {reference.dtype}{reference.shape}; "
            "want two uint8 arrays of one shape"
        )
