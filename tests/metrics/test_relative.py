from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendernoise.metrics.relative import bias, reference_noise, relmse, smape, trimmed_relmse

Images = Callable[..., tuple[np.ndarray, np.ndarray]]


def pixel(*rgb: float) -> np.ndarray:
    return np.array(rgb, np.float32).reshape(3, 1, 1)


def test_hand_computed() -> None:
    image, reference = pixel(2, 2, 2), pixel(1, 1, 1)
    assert relmse(image, reference) == pytest.approx(1 / 1.01)
    assert smape(image, reference) == pytest.approx(1 / 3.01)
    assert bias(image, reference) == pytest.approx(1.0)


def test_hand_computed_with_three_channels_and_a_variance() -> None:
    image, reference, variance = pixel(0, 3, 1), pixel(0, 2, 3), pixel(0.01, 0.401, 0)
    # (0 / 0.01 + 1 / 4.01 + 4 / 9.01) / 3, minus (0.01 / 0.01 + 0.401 / 4.01 + 0) / 3
    assert reference_noise(reference, variance) == pytest.approx(1.1 / 3, rel=1e-6)
    assert relmse(image, reference, variance) == pytest.approx((1 / 4.01 + 4 / 9.01 - 1.1) / 3, rel=1e-6)
    assert trimmed_relmse(image, reference, variance) == relmse(image, reference, variance)
    assert smape(image, reference) == pytest.approx((1 / 5.01 + 2 / 4.01) / 3)
    assert bias(image, reference) == pytest.approx(-1 / 5)


def test_too_dark_is_below_zero_and_black_has_no_bias() -> None:
    assert bias(pixel(0, 0, 0), pixel(1, 2, 3)) == -1
    assert math.isnan(bias(pixel(1, 1, 1), pixel(0, 0, 0)))
    assert math.isnan(bias(pixel(1, 1, 1), pixel(1, -1, 0)))


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 60), seed=st.integers(0, 2**32 - 1), known=st.booleans())
def test_against_loops(height: int, width: int, seed: int, known: bool) -> None:
    """The definitions, value by value in Python's own floats; 1e-12 is what the order of adding may change."""
    rng = np.random.default_rng(seed)
    reference = rng.gamma(0.5, 1.0, (3, height, width)).astype(np.float32)
    image = (reference + rng.normal(0, 1, reference.shape)).astype(np.float32)
    variance = rng.gamma(1.0, 0.01, reference.shape).astype(np.float32)

    errors, shares, ratios = [], [], []
    for i in range(height):
        for j in range(width):
            error = share = 0.0
            for c in range(3):
                x, r, v = (float(p[c, i, j]) for p in (image, reference, variance))
                error += (x - r) ** 2 / (r * r + 0.01) / 3
                share += v / (r * r + 0.01) / 3 if known else 0
                ratios.append(abs(x - r) / (abs(x) + abs(r) + 0.01))
            errors.append(error)
            shares.append(share)
    pixels = height * width
    net = [e - s for _, e, s in sorted(zip(errors, errors, shares, strict=True))]
    kept = max(1, round(pixels * 0.999))

    given_variance = variance if known else None
    assert relmse(image, reference, given_variance) == pytest.approx(math.fsum(net) / pixels, rel=1e-9)
    assert trimmed_relmse(image, reference, given_variance) == pytest.approx(math.fsum(net[:kept]) / kept, rel=1e-9)
    assert smape(image, reference) == pytest.approx(math.fsum(ratios) / len(ratios), rel=1e-12)
    total, true_total = math.fsum(image.ravel().tolist()), math.fsum(reference.ravel().tolist())
    assert bias(image, reference) == pytest.approx((total - true_total) / true_total, rel=1e-9, abs=1e-12)
    if known:
        assert reference_noise(reference, variance) == pytest.approx(math.fsum(shares) / pixels, rel=1e-9)


def test_trimming_drops_exactly_the_worst_pixels(noisy_pair: Images) -> None:
    image, reference = noisy_pair((3, 40, 50))
    # 2000 pixels: the worst 0.1 % are two.
    with_fireflies = image.copy()
    with_fireflies[:, 4, 7] += 1000
    with_fireflies[:, 24, 7] += 1000
    rest = np.ones(image.shape[1:], bool)
    rest[4, 7] = rest[24, 7] = False
    clean = relmse(image[:, rest][:, None], reference[:, rest][:, None])
    assert trimmed_relmse(with_fireflies, reference) == pytest.approx(clean, rel=1e-12)
    assert relmse(with_fireflies, reference) > 100 * clean
    with_fireflies[:, 33, 33] += 1000
    assert trimmed_relmse(with_fireflies, reference) > 100 * clean


def test_small_images_are_not_trimmed(noisy_pair: Images) -> None:
    image, reference = noisy_pair((3, 1, 499))
    assert trimmed_relmse(image, reference) == pytest.approx(relmse(image, reference), rel=1e-12)


def test_the_share_of_the_references_own_noise_is_taken_off() -> None:
    """Against a noisy reference of known variance the error of the truth is 0 within 5 standard errors (1 in 1.7 M)."""
    rng = np.random.default_rng(11)
    truth = rng.gamma(2.0, 1.0, (3, 120, 160)).astype(np.float32) + 1
    sigma = 0.05
    reference = (truth + rng.normal(0, sigma, truth.shape)).astype(np.float32)
    variance = np.full_like(truth, sigma**2)
    with_noise = relmse(truth, reference)
    corrected = relmse(truth, reference, variance)
    standard_error = with_noise * np.sqrt(2 / truth.size) * 2
    assert abs(corrected) < 5 * standard_error < with_noise / 10
    assert reference_noise(reference, variance) == pytest.approx(with_noise, abs=5 * standard_error)


def test_figures_of_simpleimageio(firefly_pair: tuple[np.ndarray, np.ndarray]) -> None:
    """What SimpleImageIO 1.13.0 gave for this pair; it computes in single precision.

    Its outlier rejection drops single values, ours whole pixels: on a grey image that is the same.
    """
    image, reference = firefly_pair
    assert relmse(image, reference) == pytest.approx(28.890254974365234, rel=1e-5)
    grey_image, grey_reference = (np.repeat(v[:1], 3, axis=0) for v in (image, reference))
    assert relmse(grey_image, grey_reference) == pytest.approx(0.2353062927722931, rel=1e-5)
    assert trimmed_relmse(grey_image, grey_reference) == pytest.approx(0.06410644948482513, rel=1e-5)


def test_against_simpleimageio(noisy_pair: Images) -> None:
    sio = pytest.importorskip("simpleimageio", reason="simpleimageio is not installed")
    image, reference = (np.repeat(v[:1], 3, axis=0) for v in noisy_pair((3, 40, 50)))
    x, r = (np.ascontiguousarray(v.transpose(1, 2, 0)) for v in (image, reference))
    assert relmse(image, reference) == pytest.approx(sio.relative_mse(x, r, 0.01), rel=1e-5)
    theirs = sio.relative_mse_outlier_rejection(x, r, 0.1, 0.01)
    assert trimmed_relmse(image, reference) == pytest.approx(theirs, rel=1e-5)
