"""Errors relative to the reference's brightness, on linear radiance ``[3, H, W]`` or ``[N, 3, H, W]``.

A reference has noise of its own, which adds its share to every squared error; where its variance is known the share is
subtracted (the mean of var(r) / (r² + 0.01) over the same pixels). An error can so come out slightly below 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rendernoise.frame import Plane
from rendernoise.metrics.batch import batched

EPSILON = 0.01
#: Share of the worst pixels that the trimmed metric leaves out: single fireflies else decide the figure.
TRIMMED_SHARE = 0.001


def _squared(image: Plane, reference: Plane) -> NDArray[np.float64]:
    """(x − r)² / (r² + 0.01) of every pixel, mean over channels, ``[H·W]``."""
    x, r = image.astype(np.float64), reference.astype(np.float64)
    return (np.square(x - r) / (np.square(r) + EPSILON)).mean(axis=0).ravel()


def _share(reference: Plane, variance: Plane | None) -> NDArray[np.float64]:
    """What the reference's own noise adds to each pixel of :func:`_squared`."""
    if variance is None:
        return np.zeros(reference[0].size)
    r = reference.astype(np.float64)
    return (variance / (np.square(r) + EPSILON)).mean(axis=0).ravel()


@batched
def relmse(image: Plane, reference: Plane, variance: Plane | None = None) -> float:
    """Relative mean squared error, mean((x − r)² / (r² + 0.01)) (Rousselle et al. 2011), minus the reference's share.

    Args:
        image: Linear radiance, ``[3, H, W]``, finite.
        reference: What it should be, same shape.
        variance: Variance of the reference's own noise, same shape; None when unknown: nothing is subtracted.
    """
    return float((_squared(image, reference) - _share(reference, variance)).mean())


@batched
def trimmed_relmse(image: Plane, reference: Plane, variance: Plane | None = None) -> float:
    """:func:`relmse` without the worst 0.1 % of pixels, rounded to whole pixels (none below 500)."""
    error = _squared(image, reference)
    kept = np.argsort(error)[: max(1, round(error.size * (1 - TRIMMED_SHARE)))]
    return float((error - _share(reference, variance))[kept].mean())


@batched
def reference_noise(reference: Plane, variance: Plane) -> float:
    """The reference's own share of :func:`relmse`, mean(var(r) / (r² + 0.01)): what the truth would be charged."""
    return float(_share(reference, variance).mean())


@batched
def smape(image: Plane, reference: Plane) -> float:
    """Symmetric mean absolute error, mean(|x − r| / (|x| + |r| + 0.01)), in [0, 1)."""
    x, r = image.astype(np.float64), reference.astype(np.float64)
    return float((np.abs(x - r) / (np.abs(x) + np.abs(r) + EPSILON)).mean())


@batched
def bias(image: Plane, reference: Plane) -> float:
    """Mean(x − r) / mean(r): below 0 is too dark. NaN, undefined, against a reference that is black all over."""
    x, r = image.astype(np.float64), reference.astype(np.float64)
    brightness = r.mean()
    return float((x - r).mean() / brightness) if brightness != 0 else math.nan
