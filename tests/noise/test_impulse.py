from __future__ import annotations

import numpy as np
import pytest

from rendernoise.noise.impulse import Impulse
from tests.noise.chance import assert_mean


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_the_share_is_replaced_by_uniform_colours(share: float) -> None:
    """False alarms: 1 in a million over share, moments and correlations of all cases."""
    clean = np.full((3, 300, 400), 0.2, np.float32)
    noisy = Impulse().corrupt(clean, share, np.random.default_rng(11)).image
    assert noisy.min() >= -0.5
    assert noisy.max() <= 0.5
    replaced = (noisy != clean).any(axis=0)
    assert_mean(replaced.ravel(), share, comparisons=28)
    if not share:
        return
    assert (noisy != clean)[:, replaced].mean() > 0.9999, "whole pixels"
    colours = noisy[:, replaced].astype(np.float64)
    for channel in colours:
        assert_mean(channel, 0, comparisons=28)
        assert_mean(channel**2, 1 / 12, comparisons=28)
    assert_mean(colours[0] * colours[1], 0, comparisons=28)
    assert_mean(colours[0] * colours[2], 0, comparisons=28)
