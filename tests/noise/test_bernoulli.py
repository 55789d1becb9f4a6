from __future__ import annotations

import numpy as np
import pytest

from rendernoise.noise.bernoulli import Bernoulli
from tests.noise.chance import assert_mean


@pytest.mark.parametrize("missing", [0.0, 0.2, 0.5, 0.95])
def test_the_share_is_missing_as_whole_pixels(missing: float) -> None:
    """False alarms: 1 in a million over shares and neighbours of all cases."""
    rng = np.random.default_rng(3)
    clean = rng.random((3, 300, 400), dtype=np.float32) * np.float32(0.4) + np.float32(0.1)
    noisy = Bernoulli().corrupt(clean, missing, rng)
    assert noisy.weight is not None
    lost = noisy.weight[0] == 0
    assert np.array_equal(noisy.weight[0], np.where(lost, np.float32(0), np.float32(1)))
    assert (noisy.image[:, lost] == 0).all()
    assert np.array_equal(noisy.image[:, ~lost], clean[:, ~lost])
    assert_mean(lost.ravel(), missing, comparisons=16)
    assert_mean((lost[1:] & lost[:-1]).ravel(), missing**2, comparisons=16)
    assert_mean((lost[:, 1:] & lost[:, :-1]).ravel(), missing**2, comparisons=16)
    other = Bernoulli().corrupt(clean, missing, rng).weight
    assert other is not None
    assert_mean((lost & (other[0] == 0)).ravel(), missing**2, comparisons=16)
