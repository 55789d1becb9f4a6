from __future__ import annotations

import numpy as np
import pytest

from rendernoise.noise.poisson import Poisson
from tests.noise.chance import assert_mean


@pytest.mark.parametrize("photons", [0.5, 5.0, 30.0, 50.0])
@pytest.mark.parametrize("value", [-0.45, 0.0, 0.5])
def test_mean_and_variance_are_those_of_counted_photons(photons: float, value: float) -> None:
    """var = (x + 0.5) / λ. False alarms: 1 in a million over both moments of all cases."""
    clean = np.full((1, 500, 500), value, np.float32)
    noisy = Poisson().corrupt(clean, photons, np.random.default_rng(7)).image.astype(np.float64).ravel()
    assert_mean(noisy, float(clean[0, 0, 0]), comparisons=24)
    assert_mean((noisy - value) ** 2, (value + 0.5) / photons, comparisons=24)
    counts = (noisy + 0.5) * photons
    assert np.allclose(counts, np.rint(counts), atol=1e-3)


def test_black_sends_no_photon_and_less_than_black_neither() -> None:
    clean = np.array([[[-0.5, -0.6]]], np.float32)
    assert (Poisson().corrupt(clean, 50, np.random.default_rng(0)).image == -0.5).all()


def test_white_is_not_clipped() -> None:
    white = np.full((1, 50, 50), 0.5, np.float32)
    assert Poisson().corrupt(white, 30, np.random.default_rng(0)).image.max() > 0.6
