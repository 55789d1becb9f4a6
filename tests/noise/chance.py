"""How far chance alone goes."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray


def limit(comparisons: int, false_alarms: float = 1e-6) -> float:
    """The standard normal deviation that none of so many exceeds, but for one run in a million (Šidák 1967)."""
    single = -np.expm1(np.log1p(-false_alarms) / comparisons)
    return -NormalDist().inv_cdf(single / 2)


def assert_mean(samples: NDArray[Any], expected: NDArray[Any] | float, comparisons: int = 1) -> None:
    """The mean over the first axis is as expected: one false alarm in a million over ``comparisons`` such calls."""
    samples = np.asarray(samples, np.float64)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    distance = np.abs(samples.mean(axis=0) - expected)
    worst = np.max(distance - limit(comparisons * distance.size) * error)
    assert worst <= 1e-6, f"{worst} too far"
