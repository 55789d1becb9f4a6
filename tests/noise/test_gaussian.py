from __future__ import annotations

import numpy as np
import pytest

from rendernoise.noise.gaussian import Gaussian
from tests.noise.chance import assert_mean


@pytest.mark.parametrize("sigma", [5.0, 25.0, 50.0])
def test_deviation_and_independence(sigma: float) -> None:
    """Moments of a million values, neighbours and channels uncorrelated. False alarms: 1 in a million a moment."""
    clean = np.full((3, 400, 500), 0.25, np.float32)
    noise = (Gaussian().corrupt(clean, sigma, np.random.default_rng(0)).image - 0.25) * 255 / sigma
    assert_mean(noise.ravel() ** 2, 1)
    assert_mean(noise.ravel() ** 4, 3)
    assert_mean((noise[:, 1:] * noise[:, :-1]).ravel(), 0)
    assert_mean((noise[:, :, 1:] * noise[:, :, :-1]).ravel(), 0)
    assert_mean((noise[0] * noise[1]).ravel(), 0)


def test_no_strength_is_no_noise() -> None:
    clean = np.random.default_rng(0).random((3, 9, 7), dtype=np.float32) - np.float32(0.5)
    assert np.array_equal(Gaussian().corrupt(clean, 0, np.random.default_rng(0)).image, clean)
