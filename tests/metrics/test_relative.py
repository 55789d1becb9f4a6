from __future__ import annotations

import numpy as np
import pytest

from rendernoise.metrics import METRICS
from rendernoise.metrics.relative import bias, relmse, smape, trimmed_relmse


def images(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.gamma(1.0, 1.0, (3, 20, 25)).astype(np.float32)
    return reference * rng.gamma(2.0, 0.5, reference.shape).astype(np.float32), reference


@pytest.mark.parametrize("name", METRICS)
def test_an_image_has_no_error_against_itself(name: str) -> None:
    _, reference = images()
    assert METRICS[name](reference, reference) == 0


def test_hand_computed() -> None:
    image = np.full((3, 1, 1), 2.0, np.float32)
    reference = np.full((3, 1, 1), 1.0, np.float32)
    assert relmse(image, reference) == pytest.approx(1 / 1.01)
    assert smape(image, reference) == pytest.approx(1 / 3.01)
    assert bias(image, reference) == pytest.approx(1.0)


def test_trimming_drops_exactly_the_worst_pixels() -> None:
    _, reference = images()
    image = reference.copy()
    image[:, 4, 7] += 1000
    image[:, 5, 5] += 0.1
    # 500 pixels: 0.1 % is half a pixel, which rounds to none or one; two fireflies in 2000 are two.
    tall = np.tile(reference, (1, 4, 1))
    bad = tall.copy()
    bad[:, 4, 7] += 1000
    bad[:, 44, 7] += 1000
    assert relmse(bad, tall) > 1
    assert trimmed_relmse(bad, tall) == 0
    assert trimmed_relmse(image, reference) < relmse(image, reference) or trimmed_relmse(image, reference) > 0


def test_the_share_of_the_references_own_noise_is_taken_off() -> None:
    """Against a noisy reference of known variance the error of the truth is 0 within 5 standard errors."""
    rng = np.random.default_rng(11)
    truth = rng.gamma(2.0, 1.0, (3, 120, 160)).astype(np.float32) + 1
    sigma = 0.05
    reference = (truth + rng.normal(0, sigma, truth.shape)).astype(np.float32)
    variance = np.full_like(truth, sigma**2)
    with_noise = relmse(truth, reference)
    corrected = relmse(truth, reference, variance)
    standard_error = with_noise * np.sqrt(2 / truth.size) * 2
    assert abs(corrected) < 5 * standard_error < with_noise / 10
