from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rendernoise.metrics import TEMPORAL_METRICS, Reference
from rendernoise.metrics.relative import relmse
from rendernoise.metrics.temporal import temporal_error

Images = Callable[..., tuple[np.ndarray, np.ndarray]]


def pixel(*rgb: float) -> np.ndarray:
    return np.array(rgb, np.float32).reshape(3, 1, 1)


def test_hand_computed() -> None:
    # The change is 2, 0, -1 where it should be 1, 0, 1; the variances add up to 0.0505, 0, 0.
    error = temporal_error(
        pixel(5, 1, 0), pixel(3, 1, 1), pixel(4, 9, 2), pixel(3, 9, 1), pixel(0.02, 0, 0), pixel(0.0305, 0, 0)
    )
    assert error == pytest.approx((1 / 1.01 + 0 + 4 / 1.01 - 0.0505 / 1.01) / 3, rel=1e-6)


def test_a_steady_error_costs_nothing_and_a_flickering_one_does(noisy_pair: Images) -> None:
    now, before = noisy_pair()
    offset = np.float32(0.25)
    assert temporal_error(now + offset, before + offset, now, before) < 1e-10
    assert temporal_error(now + offset, before - offset, now, before) > 0.1


def test_against_the_relmse_of_differences(noisy_pair: Images) -> None:
    image, reference = noisy_pair((2, 3, 12, 15))
    variance = reference * np.float32(0.01)
    (x, y), (r, s), (v, w) = image, reference, variance
    expected = relmse(x - y, r - s, v + w)
    assert temporal_error(x, y, r, s, v, w) == pytest.approx(expected, rel=1e-12)
    assert TEMPORAL_METRICS["temporal"].compute(x, y, Reference(r, v), Reference(s, w)) == expected
    unknown = relmse(x - y, r - s)
    assert temporal_error(x, y, r, s, v, None) == temporal_error(x, y, r, s, None, w) == unknown


def test_batching_does_not_change_a_value(noisy_pair: Images) -> None:
    x, r = noisy_pair((4, 3, 12, 15))
    y, s = noisy_pair((4, 3, 12, 15), seed=4)
    v = r * np.float32(0.01)
    for variances in ((None, None), (v, v)):
        together = temporal_error(x, y, r, s, *variances)
        alone = [
            temporal_error(x[n], y[n], r[n], s[n], *(None if q is None else q[n] for q in variances)) for n in range(4)
        ]
        np.testing.assert_array_equal(together, alone)
    together = temporal_error(x, y, r, s, variance=v, variance_before=v)
    np.testing.assert_array_equal(together, temporal_error(x, y, r, s, v, v))


def test_the_truth_has_none(noisy_pair: Images) -> None:
    now, before = noisy_pair()
    assert temporal_error(now, before, now, before) == TEMPORAL_METRICS["temporal"].perfect
    black = np.zeros_like(now)
    assert temporal_error(black, black, black, black) == 0


def test_the_references_own_noise_is_taken_off() -> None:
    """Against noisy references of known variance the truth's error is 0 within 5 standard errors (1 in 1.7 M)."""
    rng = np.random.default_rng(5)
    before = rng.gamma(2.0, 1.0, (3, 120, 160)).astype(np.float32) + 1
    now = before * 2 + 1
    sigma, sigma_before = 0.03, 0.05
    r = (now + rng.normal(0, sigma, now.shape)).astype(np.float32)
    s = (before + rng.normal(0, sigma_before, now.shape)).astype(np.float32)
    with_noise = temporal_error(now, before, r, s)
    corrected = temporal_error(now, before, r, s, np.full_like(now, sigma**2), np.full_like(now, sigma_before**2))
    standard_error = with_noise * np.sqrt(2 / now.size) * 2
    assert abs(corrected) < 5 * standard_error < with_noise / 10
