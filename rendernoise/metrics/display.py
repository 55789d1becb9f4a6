"""PSNR and SSIM of images as a screen shows them: of T(max(x, 0)), T(v) = (v / (1 + v))^(1/2.2), in [0, 1).

Radiance has no largest value, which both need: the tone map gives them one, 1. Both take linear radiance ``[3, H, W]``
or ``[N, 3, H, W]``; negative values count as black.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rendernoise.color import GAMMA
from rendernoise.frame import Plane
from rendernoise.metrics.batch import batched

WINDOW_PX = 11
SIGMA_PX = 1.5
#: (K₁ L)² and (K₂ L)² of Wang et al. 2004, with the data range L = 1.
C1, C2 = 0.01**2, 0.03**2


def tonemap(radiance: Plane) -> NDArray[np.float64]:
    """T(max(v, 0)) in double precision: ``rendernoise.color.tonemap`` without torch."""
    v = np.maximum(radiance.astype(np.float64), 0)
    return (v / (1 + v)) ** (1 / GAMMA)


@batched
def psnr(image: Plane, reference: Plane) -> float:
    """Peak signal-to-noise ratio, −10 log₁₀ mean((T(x) − T(r))²), dB; ``inf`` for images that are shown alike."""
    error = np.square(tonemap(image) - tonemap(reference)).mean()
    return float(-10 * np.log10(error)) if error > 0 else math.inf


@batched
def ssim(image: Plane, reference: Plane) -> float:
    """Structural similarity of T(x) and T(r), in [-1, 1]; 1 for equal images (Wang et al. 2004, eq. 13 to 17).

    Gaussian window of 11×11 px with σ = 1.5 px, K₁ = 0.01, K₂ = 0.03, per channel, then the mean. Windows lie wholly
    inside the image, so its outer 5 px are seen but are no centres. Along a side shorter than a window the
    image goes on mirrored, edge pixel included, and every pixel is a centre.
    """
    return float(np.mean([_ssim(x, r) for x, r in zip(tonemap(image), tonemap(reference), strict=True)]))


def _ssim(x: NDArray[np.float64], r: NDArray[np.float64]) -> float:
    """Mean SSIM of one channel, ``[H, W]``."""
    x, r = _mirror_short_sides(x), _mirror_short_sides(r)
    mean_x, mean_r = _window_mean(x), _window_mean(r)
    variance_x = _window_mean(x * x) - mean_x * mean_x
    variance_r = _window_mean(r * r) - mean_r * mean_r
    covariance = _window_mean(x * r) - mean_x * mean_r
    luminance = (2 * mean_x * mean_r + C1) / (mean_x * mean_x + mean_r * mean_r + C1)
    contrast_and_structure = (2 * covariance + C2) / (variance_x + variance_r + C2)
    return float((luminance * contrast_and_structure).mean())


def _mirror_short_sides(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    margin = WINDOW_PX // 2
    return np.pad(plane, [(margin, margin) if side < WINDOW_PX else (0, 0) for side in plane.shape], mode="symmetric")


def _window_mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Gaussian mean of every window that lies inside, ``[H - 10, W - 10]``: down the columns, then along rows."""
    offsets = np.arange(WINDOW_PX) - WINDOW_PX // 2
    weights = np.exp(-0.5 * np.square(offsets / SIGMA_PX))
    weights /= weights.sum()
    rows, columns = plane.shape[0] - WINDOW_PX + 1, plane.shape[1] - WINDOW_PX + 1
    down = sum(w * plane[i : i + rows] for i, w in enumerate(weights))
    return np.asarray(sum(w * down[:, i : i + columns] for i, w in enumerate(weights)))  # pyright: ignore[reportIndexIssue]
