from __future__ import annotations

import numpy as np
import pytest

from rendernoise.noise.mri import Mri, probabilities
from tests.noise.chance import assert_mean

SIZES = [(9, 9), (8, 6), (7, 10), (1, 8), (5, 1)]


def mirrored(spectrum: np.ndarray) -> np.ndarray:
    """At k what was at −k."""
    return np.roll(spectrum[..., ::-1, ::-1], (1, 1), (-2, -1))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_frequencies_are_kept_with_their_probability_and_in_pairs(size: tuple[int, int]) -> None:
    """Shares of 8000 draws, each frequency and each two neighbouring pairs. False alarms: 1 in a million over all."""
    rng, expected = np.random.default_rng(9), probabilities(*size, 0.3).astype(np.float64)
    clean = np.zeros((1, *size), np.float32)
    kept = np.stack([Mri().corrupt(clean, 0.3, rng).kept[0] for _ in range(8000)])  # pyright: ignore[reportOptionalSubscript]
    assert np.array_equal(kept, mirrored(kept))
    measured = kept > 0
    assert np.array_equal(kept, np.where(measured, probabilities(*size, 0.3), np.float32(0)))
    assert measured[:, 0, 0].all(), "the mean of the image is always known"
    assert_mean(measured, expected, comparisons=2 * len(SIZES))
    # Pairs are independent: the count has the variance of so many coins, each counted once or, as a pair, twice.
    own = np.arange(expected.size).reshape(size) == mirrored(np.arange(expected.size).reshape(size))
    spread = (expected * (1 - expected) * np.where(own, 1, 2)).sum()
    count = measured.sum(axis=(1, 2)) - expected.sum()
    assert_mean(count**2, spread, comparisons=2 * len(SIZES))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("size", [(255, 255), (256, 256), (128, 201)], ids=str)
def test_the_probability_falls_exponentially_to_the_share(size: tuple[int, int], share: float) -> None:
    """p(k) = exp(−λ |k|) with one λ, symmetric, and the share is its mean."""
    p = probabilities(*size, share).astype(np.float64)
    assert p.mean() == pytest.approx(share, rel=1e-5)
    assert np.array_equal(p, mirrored(p))
    radius = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None])
    radius[0, 0] = np.nan
    rates = -np.log(p) / radius
    assert np.nanstd(rates) < 1e-4 * max(1, np.nanmean(rates))


def test_it_is_the_sampling_of_the_authors() -> None:
    """Their released configuration: 0.025 at 127 cycles of an image of 255 px, and a mean share of 0.105."""
    p = probabilities(255, 255, 0.10477)
    assert p[0, 127] == pytest.approx(0.025, rel=0.03)


@pytest.mark.parametrize("size", [(255, 255), (64, 48), (31, 32), (1, 1), (2, 2)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_measured_frequencies_are_divided_by_their_probability(size: tuple[int, int], channels: int) -> None:
    rng = np.random.default_rng(0)
    clean = rng.random((channels, *size), dtype=np.float32) - np.float32(0.5)
    noisy = Mri().corrupt(clean, 0.1, rng)
    assert noisy.kept is not None
    expected = np.where(noisy.kept > 0, np.fft.fft2(clean), 0)
    scale = np.abs(expected).max()
    assert np.allclose(np.fft.fft2(noisy.image) * noisy.kept, expected, atol=1e-5 * scale)
    lost = np.fft.fft2(noisy.image) * (noisy.kept == 0)
    assert np.abs(lost).max() < 1e-5 * np.abs(np.fft.fft2(noisy.image)).max()


def test_about_a_tenth_is_kept() -> None:
    """False alarms: 1 in a million."""
    rng, clean = np.random.default_rng(0), np.zeros((1, 255, 255), np.float32)
    shares = [np.mean(Mri().corrupt(clean, Mri.tested, rng).kept > 0) for _ in range(50)]  # pyright: ignore[reportOptionalOperand]
    assert_mean(np.array(shares), 0.1)
    assert max(abs(s - 0.1) for s in shares) < 0.01


def test_everything_measured_is_the_image() -> None:
    clean = np.random.default_rng(0).random((3, 33, 20), dtype=np.float32) - np.float32(0.5)
    noisy = Mri().corrupt(clean, 1.0, np.random.default_rng(0))
    assert np.allclose(noisy.image, clean, atol=1e-6)


def test_an_image_of_few_pixels_keeps_its_mean() -> None:
    """One frequency of nine is more than a tenth already: the mean is known, the rest hardly ever."""
    clean = np.random.default_rng(0).random((1, 3, 3), dtype=np.float32)
    noisy = Mri().corrupt(clean, 0.1, np.random.default_rng(0))
    assert noisy.image.mean() == pytest.approx(clean.mean(), abs=1e-6)
