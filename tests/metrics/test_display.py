from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendernoise.metrics.display import psnr, ssim, tonemap

Images = Callable[..., tuple[np.ndarray, np.ndarray]]


def grey(value: float, shape: tuple[int, ...] = (3, 1, 1)) -> np.ndarray:
    return np.full(shape, value, np.float32)


def shown(v: float) -> float:
    return (max(v, 0) / (1 + max(v, 0))) ** (1 / 2.2)


def test_the_tone_map_is_that_of_training() -> None:
    torch = pytest.importorskip("torch")
    from rendernoise import color

    radiance = np.float32([-3, -0.0, 0, 1e-6, 0.01, 0.5, 1, 7, 1e3, 1e9])
    theirs = color.tonemap(torch.from_numpy(radiance)).numpy()
    np.testing.assert_allclose(tonemap(radiance), theirs, rtol=1e-6, atol=0)


def test_psnr_by_hand() -> None:
    # T(1) = 0.5^(1/2.2) against T(0) = 0: 20 log10(2) / 2.2 dB
    assert psnr(grey(0), grey(1)) == pytest.approx(20 * math.log10(2) / 2.2)
    image = np.concatenate([grey(0, (1, 1, 1)), grey(1, (2, 1, 1))])
    assert psnr(image, grey(1)) == pytest.approx(20 * math.log10(2) / 2.2 + 10 * math.log10(3))


def test_what_is_shown_alike_has_no_psnr_limit() -> None:
    assert psnr(grey(0.3), grey(0.3)) == math.inf
    assert psnr(grey(-1), grey(0)) == math.inf


def test_ssim_by_hand() -> None:
    """Of flat images only the means are left: (2ab + C₁) / (a² + b² + C₁), whatever the size."""
    a, b = shown(1.0), shown(0.25)
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    for shape in ((3, 1, 1), (3, 4, 30), (3, 16, 16)):
        assert ssim(grey(1.0, shape), grey(0.25, shape)) == pytest.approx(expected, rel=1e-9)


def test_inverted_structure_is_below_zero() -> None:
    checker = (np.indices((16, 16)).sum(axis=0) % 2).astype(np.float32) * np.ones((3, 1, 1), np.float32)
    assert ssim(1 - checker, checker) < 0


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 16), width=st.integers(1, 16), seed=st.integers(0, 2**32 - 1))
def test_ssim_against_loops(height: int, width: int, seed: int) -> None:
    """Every window in turn, two-dimensional weights, variances about the window's own mean, index by index mirrored."""
    rng = np.random.default_rng(seed)
    reference = rng.gamma(0.7, 1.0, (3, height, width)).astype(np.float32)
    image = (reference + rng.normal(0, 0.5, reference.shape)).astype(np.float32)

    g = [math.exp(-((k - 5) ** 2) / (2 * 1.5**2)) for k in range(11)]
    weights = np.outer(g, g) / sum(g) ** 2

    def centres(side: int) -> range:
        return range(5, side - 5) if side >= 11 else range(side)

    def mirrored(index: int, side: int) -> int:
        while not 0 <= index < side:
            index = -1 - index if index < 0 else 2 * side - 1 - index
        return index

    values = []
    for c in range(3):
        x, r = (np.array([[shown(float(v)) for v in row] for row in p[c]]) for p in (image, reference))
        for i in centres(height):
            for j in centres(width):
                where = np.ix_(
                    [mirrored(i + k, height) for k in range(-5, 6)], [mirrored(j + k, width) for k in range(-5, 6)]
                )
                a, b = x[where], r[where]
                mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
                var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
                both = (weights * (a - mean_a) * (b - mean_b)).sum()
                values.append(
                    (2 * mean_a * mean_b + 1e-4)
                    * (2 * both + 9e-4)
                    / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
                )
    assert ssim(image, reference) == pytest.approx(np.mean(values), abs=1e-10)


@pytest.mark.parametrize("shape", [(3, 11, 11), (3, 12, 40), (3, 61, 83)])
def test_against_scikit_image(noisy_pair: Images, shape: tuple[int, ...]) -> None:
    """Both in double precision: PSNR within 1e-9 dB, SSIM within 1e-9."""
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    image, reference = noisy_pair(shape)
    x, r = tonemap(image), tonemap(reference)
    assert psnr(image, reference) == pytest.approx(metrics.peak_signal_noise_ratio(r, x, data_range=1), abs=1e-9)
    theirs = metrics.structural_similarity(
        x, r, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=0
    )
    assert ssim(image, reference) == pytest.approx(theirs, abs=1e-9)


def test_figures_of_scikit_image(firefly_pair: tuple[np.ndarray, np.ndarray]) -> None:
    """What scikit-image 0.26.0 gave for this pair, for where it is not installed."""
    assert psnr(*firefly_pair) == pytest.approx(28.54168723261506, abs=1e-6)
    assert ssim(*firefly_pair) == pytest.approx(0.9922149539524031, abs=1e-6)
