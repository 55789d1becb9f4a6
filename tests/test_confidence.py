"""Estimates of how wrong frames are: what makes them sure, what they must never be, and that intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from rendernoise.confidence import (
    FOREIGN_MULTIPLE,
    TRAINED_MULTIPLE,
    ErrorEstimate,
    Evidence,
    frame_estimates,
    kept_pixels,
    shot_estimate,
    tile_estimate,
)

NONE = np.empty(0)
SPREAD = 0.002


def evidence(products: np.ndarray = NONE, spread: float = SPREAD, noise: float = 0.0, noisy: float = 0.1) -> Evidence:
    return Evidence(spread, noise, products, noisy)


def tiles(mean: float, sd: float, count: int = 200) -> np.ndarray:
    """Tiles with exactly this mean and standard deviation."""
    drawn = np.random.default_rng(5).normal(size=count)
    return mean + sd * (drawn - drawn.mean()) / drawn.std(ddof=1)


@pytest.mark.parametrize(("trained", "multiple"), [(True, TRAINED_MULTIPLE), (False, FOREIGN_MULTIPLE)])
def test_without_products_the_spread_decides(trained: bool, multiple: float) -> None:
    (found,) = frame_estimates([evidence()], trained=trained)
    assert found.relmse == pytest.approx(multiple * SPREAD)
    assert found.low < found.relmse < found.high
    assert found.noisy_relmse == 0.1


def test_weights_of_another_shot_are_less_sure() -> None:
    widths = [e.high / e.low for e in (frame_estimates([evidence()], trained=t)[0] for t in (True, False))]
    assert widths[0] < widths[1]


def test_the_guards_own_noise_has_no_bias() -> None:
    (found,) = frame_estimates([evidence(noise=SPREAD)], trained=True)
    assert found.relmse == pytest.approx(SPREAD)


def test_sure_products_win_and_unsure_ones_lose() -> None:
    def estimate(sd: float) -> ErrorEstimate:
        return frame_estimates([evidence(tiles(0.006, sd), noisy=1e-4)], trained=False)[0]

    sure, unsure = estimate(0.001), estimate(3.0)
    assert sure.relmse == pytest.approx(0.006, rel=0.1)
    assert unsure.relmse == pytest.approx(FOREIGN_MULTIPLE * SPREAD, rel=0.05)
    assert sure.high / sure.low < unsure.high / unsure.low


def test_products_are_doubted_where_noise_may_hide_more() -> None:
    quiet, loud = (
        frame_estimates([evidence(tiles(0.0001, 0.0001), noisy=noisy)], trained=True)[0].relmse for noisy in (0.001, 5)
    )
    assert quiet < 0.2 * loud


def test_an_estimate_is_never_negative() -> None:
    (found,) = frame_estimates([evidence(tiles(-0.05, 0.001), noisy=1e-4)], trained=True)
    assert 0 < found.low < found.relmse < found.high


def test_products_speak_for_the_whole_shot_and_spreads_for_frames() -> None:
    shot = [evidence(tiles(0.012, 0.001, 20), spread, noisy=1e-3) for spread in (0.001, 0.002, 0.003)]
    found = [e.relmse for e in frame_estimates(shot, trained=True)]
    assert found[1] / found[0] == pytest.approx(2)
    assert found[2] / found[0] == pytest.approx(3)
    assert found[1] > 1.2 * TRAINED_MULTIPLE * 0.002
    backwards = [e.relmse for e in frame_estimates(shot[::-1], trained=True)]
    assert np.allclose(backwards[::-1], found)


def test_a_shot_is_the_mean_of_its_frames_and_surer() -> None:
    shot = [evidence(spread=spread, noisy=noisy) for spread, noisy in ((0.001, 0.1), (0.002, 0.2), (0.006, 0.3))]
    each, whole = frame_estimates(shot, trained=True), shot_estimate(shot, trained=True)
    assert whole.relmse == pytest.approx(np.mean([e.relmse for e in each]))
    assert whole.noisy_relmse == pytest.approx(0.2)
    assert whole.high / whole.low < each[0].high / each[0].low


def test_a_black_frame_has_no_error() -> None:
    (found,) = frame_estimates([Evidence(0.0, 0.0, np.zeros(9), 0.0)], trained=True)
    assert (found.relmse, found.low, found.high) == (0, 0, 0)


def test_intervals_hold_what_they_promise() -> None:
    """500 shots of 8 frames whose errors scatter as assumed: 95 % hold the truth (false alarm below 1e-6)."""
    rng = np.random.default_rng(11)
    inside = []
    for _ in range(500):
        of_shot = TRAINED_MULTIPLE * np.exp(rng.normal(0, 0.25))
        truths = of_shot * SPREAD * np.exp(rng.normal(0, 0.15, 8))
        shot = [evidence(rng.normal(t, 0.02, 30), noisy=0.05) for t in truths]
        inside += [e.low <= t <= e.high for e, t in zip(frame_estimates(shot, trained=True), truths, strict=True)]
    assert 0.9 < np.mean(inside) < 0.99


@pytest.mark.parametrize(("pixels", "left_out"), [(100, 0), (500, 0), (2000, 2), (10_000, 10)])
def test_the_worst_pixels_do_not_count(pixels: int, left_out: int) -> None:
    spread = np.random.default_rng(0).permutation(pixels).astype(float).reshape(-1, 10)
    kept = kept_pixels(spread)
    assert pixels - kept.sum() == left_out
    assert spread[kept].max() == pixels - 1 - left_out


def test_one_tile_has_no_interval() -> None:
    assert np.isnan(tile_estimate(np.ones(1), 0.5).relmse)
    assert tile_estimate(np.ones(1), 0.5).noisy_relmse == 0.5


def test_json_values_are_plain_numbers() -> None:
    made = ErrorEstimate(0.123456789, -0.1, np.inf, 1e-9).to_json()
    assert made == {"estimated_relmse": 0.123457, "interval": [-0.1, None], "noisy_relmse": 1e-9}
