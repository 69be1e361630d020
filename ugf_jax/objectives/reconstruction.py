"""Reconstruction losses that need no downloaded network.

Every function takes float images `[batch, height, width, 3]` in [-1, 1], computes in float32 and works at any size.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.config import NOT_NEGATIVE, setting

SSIM_RADIUS = 5  # 11 taps, sigma 1.5: Wang et al. 2004, section III.C
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli and Bovik 2003, section 3.2
CONTRAST_FLOOR = 1e-4  # x ** 0.0448 has an infinite slope at 0, and anti-correlated images lie below it
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class ReconstructionWeights:
    """How much each term counts; a term with weight 0 is not computed."""

    l1: float = setting(1.0, NOT_NEGATIVE, "mean absolute error")
    l2: float = setting(1.0, NOT_NEGATIVE, "mean squared error; the one that PSNR measures")
    gradient: float = setting(0.25, NOT_NEGATIVE, "mean absolute error of horizontal and vertical differences")
    laplacian: float = setting(0.25, NOT_NEGATIVE, "mean absolute error of each band of a Laplacian pyramid, summed")
    ms_ssim: float = setting(0.1, NOT_NEGATIVE, "1 - multi-scale structural similarity of luma")


def reconstruction_loss(
    prediction: jax.Array, target: jax.Array, weights: ReconstructionWeights
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The weighted total and every computed term before weighting, each a float32 scalar averaged over the batch."""
    functions = {
        "l1": l1,
        "l2": l2,
        "gradient": gradient,
        "laplacian": laplacian,
        "ms_ssim": lambda p, t: 1 - jnp.mean(ms_ssim(p, t)),
    }
    terms = {name: f(prediction, target) for name, f in functions.items() if getattr(weights, name)}
    total = jnp.zeros((), jnp.float32)
    for name, value in terms.items():
        total += getattr(weights, name) * value
    return total, terms


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute error, a scalar."""
    return jnp.mean(jnp.abs(_difference(prediction, target)))


def l2(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error, a scalar. PSNR in decibels of one image is `-10 log10(l2 / 4)`."""
    return jnp.mean(jnp.square(_difference(prediction, target)))


def gradient(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute error of first differences along height and width, summed; a scalar that ignores a constant offset."""
    difference = _difference(prediction, target)
    total = jnp.zeros((), jnp.float32)
    for axis in (1, 2):
        if difference.shape[axis] > 1:
            total += jnp.mean(jnp.abs(jnp.diff(difference, axis=axis)))
    return total


def laplacian(prediction: jax.Array, target: jax.Array, levels: int = 4) -> jax.Array:
    """Sum over pyramid bands of the mean absolute error in that band, a scalar.

    Burt and Adelson 1983, with bands as differences of successive blurs; averaging each band over its own pixels weights
    coarse bands by 4 per octave, as in Bojanowski et al. 2018, section 3. The pyramid is linear, so one of the difference
    image is enough. It ends early where an image becomes smaller than 4 pixels.
    """
    band = jnp.moveaxis(_difference(prediction, target), -1, 1)  # [B, 3, H, W]: each blur is two plain matmuls
    total = jnp.zeros((), jnp.float32)
    for _ in range(levels):
        if min(band.shape[-2:]) < 4:
            break
        blurred = _filter(band, _binomial_blur)
        total += jnp.mean(jnp.abs(band - blurred))
        band = blurred[..., ::2, ::2]
    return total + jnp.mean(jnp.abs(band))


def ms_ssim(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Multi-scale structural similarity of luma, `[batch]`, 1 for equal images.

    Wang, Simoncelli and Bovik 2003, equation 7, over fully covered windows. An image too small for five scales of an
    11-pixel window uses the finest scales that fit, their exponents renormalised to sum 1; one below 11 pixels uses one
    scale with the largest odd window that fits.
    """
    x, y = _luma(prediction), _luma(target)
    exponents = np.asarray(MS_SSIM_EXPONENTS[: scales_of(*x.shape[1:])])
    exponents = exponents / exponents.sum()
    score = jnp.ones(x.shape[0], jnp.float32)
    for scale, exponent in enumerate(exponents):
        if scale:
            x, y = _halve(x), _halve(y)
        luminance, contrast = _ssim_maps(x, y)
        last = scale == len(exponents) - 1
        value = jnp.mean(luminance * contrast if last else contrast, axis=(1, 2))
        score *= jnp.maximum(value, CONTRAST_FLOOR) ** float(exponent)
    return score


def scales_of(height: int, width: int) -> int:
    """How many scales `ms_ssim` uses at this size, 1 to 5."""
    window = 2 * SSIM_RADIUS + 1
    return max(1, sum(min(height, width) >> scale >= window for scale in range(len(MS_SSIM_EXPONENTS))))


def _difference(prediction: jax.Array, target: jax.Array) -> jax.Array:
    return prediction.astype(jnp.float32) - target.astype(jnp.float32)


def _luma(image: jax.Array) -> jax.Array:
    return image.astype(jnp.float32) @ jnp.asarray(LUMA, jnp.float32)


def _halve(x: jax.Array) -> jax.Array:
    """2×2 averages of `[B, H, W]`; an odd last row or column is left out."""
    b, h, w = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2).mean(axis=(2, 4))


def _ssim_maps(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Luminance and contrast-structure maps of `[B, H, W]` images in [-1, 1] (Wang et al. 2004, equations 6 and 10)."""
    c1, c2 = (2 * SSIM_K1) ** 2, (2 * SSIM_K2) ** 2
    # The variances enter only as a sum, so four filtered images do instead of five.
    mean_x, mean_y, squares, product = _filter(jnp.stack([x, y, x * x + y * y, x * y]), _gaussian_window)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    contrast = (2 * (product - mean_x * mean_y) + c2) / (squares - mean_x**2 - mean_y**2 + c2)
    return luminance, contrast


def _filter(x: jax.Array, matrix) -> jax.Array:  # type: ignore[no-untyped-def]
    """Filters the last two axes by the matrices `matrix(size, smaller side)`.

    Banded matmuls: on two CPU cores 27 ms for the value and gradient of single-scale SSIM of 16 colour images of 128²,
    where shifted sums took 1,185 ms and depthwise convolutions 796 ms, and on accelerators they use the matrix unit.
    """
    h, w = x.shape[-2:]
    side = min(h, w)
    return jnp.asarray(matrix(h, side)) @ (x @ jnp.asarray(matrix(w, side)).T)


def _gaussian_window(size: int, side: int) -> np.ndarray:
    """Rows are the positions of a Gaussian window that lie fully inside `size` pixels: `[size - 2 radius, size]`."""
    radius = min(SSIM_RADIUS, (side - 1) // 2)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SSIM_SIGMA) ** 2)
    matrix = np.zeros((size - 2 * radius, size), np.float32)
    for row in range(len(matrix)):
        matrix[row, row : row + len(taps)] = taps / taps.sum()
    return matrix


def _binomial_blur(size: int, side: int) -> np.ndarray:
    """`[size, size]`: five binomial taps; the image's last pixel is repeated beyond the edge."""
    matrix = np.zeros((size, size), np.float32)
    for offset, tap in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True):
        np.add.at(matrix, (np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)), tap / 16)
    return matrix
