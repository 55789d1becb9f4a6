"""Denoisers by others: in our units, with an inverse that is unbiased, and told where they are not installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from rendernoise.frame import Plane
from rendernoise.noise import Noisy
from rendernoise.noise.gaussian import Gaussian
from rendernoise.noise.poisson import Poisson
from rendernoise.suite.baselines import BASELINES, Baseline, Examples, anscombe, bm3d, inverse_anscombe
from rendernoise.suite.evaluation import psnr

needs_bm3d = pytest.mark.skipif(BASELINES["bm3d"].why_not() is not None, reason="bm3d is not installed")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def picture(channels: int, side_px: int = 64) -> Plane:
    """A disc on a ramp, in [-0.4, 0.4]."""
    rows, columns = np.mgrid[:side_px, :side_px] / side_px - 0.5
    base = np.where(np.hypot(rows, columns) < 0.3, 0.3, 0.8 * columns)
    return np.stack([base * (1 - 0.2 * c) for c in range(channels)]).astype(np.float32)


def test_the_inverse_of_the_transform_is_unbiased() -> None:
    """The mean of the transform of Poisson counts goes back to their mean, within 2 % from 0.5 counts on."""
    for rate in (0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 200.0):
        counts = np.arange(int(rate + 20 * np.sqrt(rate) + 20))
        logs = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
        chances = np.exp(counts * np.log(rate) - rate - logs)
        assert chances.sum() == pytest.approx(1, abs=1e-9)
        mean_of_transform = np.array((chances * anscombe(counts)).sum())
        assert float(inverse_anscombe(mean_of_transform)) == pytest.approx(rate, rel=0.02)
        # The algebraic inverse would be darker by a quarter of a count.
        naive = float(mean_of_transform) ** 2 / 4 - 3 / 8
        assert abs(float(inverse_anscombe(mean_of_transform)) - rate) < abs(naive - rate)


def test_what_lies_below_the_transform_of_zero_is_zero() -> None:
    assert np.array_equal(inverse_anscombe(np.array([-3.0, 0.0, float(anscombe(np.zeros(())))])), np.zeros(3))
    assert anscombe(np.array([-5.0])) == 0


@needs_bm3d
@pytest.mark.parametrize("channels", [1, 3])
def test_bm3d_removes_gaussian_noise_of_the_strength_that_is_named(channels: int) -> None:
    clean = picture(channels)
    noisy = Gaussian().corrupt(clean, 25.0, np.random.default_rng(1))
    restored = BASELINES["bm3d"].make(25.0, None)(noisy)
    assert restored.shape == clean.shape
    assert restored.dtype == np.float32
    assert psnr(restored, clean) > psnr(noisy.image, clean) + 8
    # Told a tenth of the strength it must leave most of the noise: the unit of sigma is the image's.
    assert psnr(bm3d(noisy.image + 0.5, 2.5 / 255) - 0.5, clean) < psnr(noisy.image, clean) + 2


@needs_bm3d
@pytest.mark.parametrize("channels", [1, 3])
def test_anscombe_and_bm3d_remove_poisson_noise_and_keep_the_mean(channels: int) -> None:
    clean = picture(channels)
    noisy = Poisson().corrupt(clean, 30.0, np.random.default_rng(2))
    restored = BASELINES["anscombe_bm3d"].make(30.0, None)(noisy)
    assert psnr(restored, clean) > psnr(noisy.image, clean) + 6
    assert abs(float((restored - clean).mean())) < 0.01


def test_a_package_that_is_not_there_is_told_with_its_cure() -> None:
    missing = Baseline("X", "no_such_package_here", "pip install x", "gaussian", lambda strength, examples: _unchanged)
    assert missing.why_not() == "not installed (pip install x)"


def _unchanged(noisy: Noisy) -> Plane:
    return noisy.image


@pytest.mark.skipif(importlib.util.find_spec("careamics") is None, reason="careamics is not installed")
def test_careamics_is_trained_on_noisy_images_of_several_sizes() -> None:
    rng = np.random.default_rng(3)
    noisy = [Gaussian().corrupt(picture(1, side), 25.0, rng).image for side in (72, 80, 96)]
    restore = BASELINES["careamics_n2v"].make(25.0, Examples(noisy, steps=30, crop_px=64, batch=4, seed=5))
    clean = picture(1, 70)
    restored = restore(Gaussian().corrupt(clean, 25.0, rng))
    assert restored.shape == (1, 70, 70)
    assert np.isfinite(restored).all()
