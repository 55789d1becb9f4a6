from __future__ import annotations

import numpy as np
import pytest

from rendernoise.errors import InputError
from rendernoise.noise.brown_gaussian import BrownGaussian
from tests.noise.chance import assert_mean

HEIGHT, WIDTH, REPEATS = 14, 19, 4000


@pytest.fixture(scope="module", params=[0.4, 1.0, 2.0, 3.5])
def bandwidth_px(request: pytest.FixtureRequest) -> float:
    return request.param


@pytest.fixture(scope="module")
def noise(bandwidth_px: float) -> np.ndarray:
    """Noise of unit strength, ``[REPEATS, 2, HEIGHT, WIDTH]``."""
    rng, model = np.random.default_rng(5), BrownGaussian(bandwidth_px)
    clean = np.zeros((2, HEIGHT, WIDTH), np.float32)
    return np.stack([model.corrupt(clean, 25, rng).image for _ in range(REPEATS)]) * 255 / 25


def test_every_pixel_has_the_deviation_also_at_borders(noise: np.ndarray) -> None:
    """False alarms: 1 in a million over all pixels."""
    assert_mean(noise**2, 1)


def test_neighbours_correlate_as_the_theory_says(noise: np.ndarray, bandwidth_px: float) -> None:
    """Any two pixels, in closed form, with opposite borders uncorrelated. False alarms: 1 in a million in all."""
    first = noise[:, :1, :1, :1]
    reach = int(np.ceil(4 * bandwidth_px))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / bandwidth_px) ** 2)
    lagged = np.correlate(weights, weights, "full")[2 * reach :] / (weights**2).sum()
    along = np.zeros(max(HEIGHT, WIDTH))
    along[: len(lagged)] = lagged[: len(along)]
    assert_mean(noise[:, 0] * first[:, 0], along[:HEIGHT, None] * along[None, :WIDTH], comparisons=2)
    assert_mean(noise[:, 1] * first[:, 0], 0, comparisons=2)
    if bandwidth_px >= 1:
        distance = np.arange(len(along))
        assert np.allclose(along, np.exp(-((distance / bandwidth_px) ** 2) / 4), atol=1e-3)


def test_a_narrow_blur_is_white_noise() -> None:
    noise = BrownGaussian(0.1).corrupt(np.zeros((1, 300, 300), np.float32), 25, np.random.default_rng(0)).image
    assert_mean((noise[0, 1:] * noise[0, :-1]).ravel(), 0)


@pytest.mark.parametrize("wrong", [0.0, -1.0, 65.0, float("nan")])
def test_a_bandwidth_that_cannot_be_is_refused(wrong: float) -> None:
    with pytest.raises(InputError, match="Use a bandwidth above 0 and up to 64 px"):
        BrownGaussian(wrong)
