"""Errors relative to the reference's brightness, on linear radiance ``[3, H, W]``.

A reference has noise of its own, which adds its share to every squared error; where its variance is known the share is
subtracted (the mean of var(r) / (r² + 0.01) over the same pixels).
"""

from __future__ import annotations

import numpy as np

from rendernoise.frame import Plane

EPSILON = 0.01
#: Share of the worst pixels that the trimmed metric leaves out: single fireflies else decide the figure.
TRIMMED_SHARE = 0.001


def _squared(image: Plane, reference: Plane) -> np.ndarray:
    """(x − r)² / (r² + 0.01) of every pixel, mean over channels, ``[H·W]``."""
    x, r = image.astype(np.float64), reference.astype(np.float64)
    return (np.square(x - r) / (np.square(r) + EPSILON)).mean(axis=0).ravel()


def _share(reference: Plane, variance: Plane | None) -> np.ndarray:
    """What the reference's own noise adds to each pixel of :func:`_squared`."""
    if variance is None:
        return np.zeros(reference[0].size)
    r = reference.astype(np.float64)
    return (variance / (np.square(r) + EPSILON)).mean(axis=0).ravel()


def relmse(image: Plane, reference: Plane, variance: Plane | None = None) -> float:
    """Relative mean squared error (Rousselle et al. 2011, with 0.01), minus the reference's share."""
    return float((_squared(image, reference) - _share(reference, variance)).mean())


def trimmed_relmse(image: Plane, reference: Plane, variance: Plane | None = None) -> float:
    """:func:`relmse` without the worst 0.1 % of pixels."""
    error = _squared(image, reference)
    kept = np.argsort(error)[: max(1, round(error.size * (1 - TRIMMED_SHARE)))]
    return float((error - _share(reference, variance))[kept].mean())


def smape(image: Plane, reference: Plane) -> float:
    """Symmetric mean absolute error |x − r| / (|x| + |r| + 0.01), in [0, 1)."""
    x, r = image.astype(np.float64), reference.astype(np.float64)
    return float((np.abs(x - r) / (np.abs(x) + np.abs(r) + EPSILON)).mean())


def bias(image: Plane, reference: Plane) -> float:
    """mean(x − r) / mean(r): below 0 is too dark."""
    x, r = image.astype(np.float64), reference.astype(np.float64)
    return float((x - r).mean() / r.mean())
