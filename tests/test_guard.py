"""The error map and the corners of the estimate; that it is unbiased is law 5 (tests/laws)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rendernoise.frame import FramePair
from rendernoise.guard import ErrorEstimate, error_map, estimate_error
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View

RENDERER = AnalyticRenderer((96, 80))
VIEW = View(1)


def pair(seed: int = 0, spp: int = 8) -> FramePair:
    return FramePair.of_halves(
        RENDERER.render(VIEW, spp=spp, seed=2 * seed), RENDERER.render(VIEW, spp=spp, seed=2 * seed + 1)
    )


def test_a_perfect_denoiser_has_no_error() -> None:
    truth = RENDERER.reference(VIEW)
    estimates = [estimate_error(pair(seed), truth, truth) for seed in range(40)]
    values = np.array([e.relmse for e in estimates])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert np.mean([e.low <= 0 <= e.high for e in estimates]) > 0.85
    assert min(values) < 0 < max(values), "it is not clipped, else its mean would be biased"


def test_a_wrong_denoiser_is_seen() -> None:
    truth = RENDERER.reference(VIEW)
    wrong = (truth * np.float32(1.5)).astype(np.float32)
    expected = float((np.square(wrong - truth) / (np.square(wrong) + 0.01)).mean())
    assert estimate_error(pair(), wrong, wrong).relmse == pytest.approx(expected, rel=0.3)
    assert estimate_error(pair(), wrong, wrong).low > 0


def test_the_noisy_error_falls_with_the_samples() -> None:
    truth = RENDERER.reference(VIEW)
    few, many = (estimate_error(pair(spp=spp), truth, truth).noisy_relmse for spp in (4, 64))
    assert few / many == pytest.approx(16, rel=0.2)


def test_only_masked_pixels_count() -> None:
    truth = RENDERER.reference(VIEW)
    half_wrong = truth.copy()
    half_wrong[:, :, 48:] += 5
    mask = np.zeros((80, 96), bool)
    mask[:, :48] = True
    one = pair()
    assert estimate_error(one, half_wrong, half_wrong, mask) == estimate_error(one, truth, truth, mask)
    assert estimate_error(one, half_wrong, half_wrong, ~mask).relmse > 0.5


def test_lost_samples_do_not_count() -> None:
    truth = RENDERER.reference(VIEW)
    clean = pair()
    target = clean.target.copy()
    target[1, 5, 5] = np.nan
    assert clean.partner is not None
    broken = FramePair.of_halves(clean.input, clean.partner.with_planes(radiance=target))
    estimate = estimate_error(broken, truth, truth)
    assert estimate.relmse == pytest.approx(estimate_error(clean, truth, truth).relmse, abs=0.01)
    assert np.isfinite(error_map(broken, truth, truth)).all()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (3, 5)])
def test_a_frame_of_one_tile_has_no_interval(size: tuple[int, int], random_pair: Callable[..., FramePair]) -> None:
    tiny = random_pair(*size)
    estimate = estimate_error(tiny, tiny.input.radiance, tiny.target)
    assert np.isnan(estimate.relmse)
    assert estimate.to_json().items() >= {"estimated_relmse": None, "interval": [None, None]}.items()
    shown = error_map(tiny, tiny.input.radiance, tiny.target)
    assert shown.shape == (1, *size)
    assert (shown >= 0).all()


def test_json_values_are_plain_numbers() -> None:
    made = ErrorEstimate(0.123456789, -0.1, np.inf, 1e-9).to_json()
    assert made == {"estimated_relmse": 0.123457, "interval": [-0.1, None], "noisy_relmse": 1e-9}


def test_the_map_shows_where_the_error_is() -> None:
    truth = RENDERER.reference(VIEW)
    wrong = truth.copy()
    wrong[:, :30, :30] *= 2
    shown = error_map(pair(spp=256), wrong, wrong)[0]
    assert shown.dtype == np.float32
    assert shown[5:15, 5:15].mean() > 20 * shown[60:, 60:].mean()
    assert (shown >= 0).all()
