"""The error map and the corners of the estimate; that it is unbiased is law 5 (tests/laws)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rendernoise.frame import FramePair
from rendernoise.guard import GUARD_RADIUS_PX, Judgement, agreeing, estimate_error, merge_halves
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
    written = merge_halves(pair(), wrong, wrong)[0].radiance
    expected = float((np.square(written - truth) / (np.square(wrong) + 0.01)).mean())
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
    mask[:, : 48 - 2 * GUARD_RADIUS_PX] = True  # where no window sees the wrong half, nor one that does
    one = pair()
    # Nearly: what counts as bright follows from the whole image.
    seen, expected = (estimate_error(one, x, x, mask).relmse for x in (half_wrong, truth))
    assert seen == pytest.approx(expected, rel=0.1)
    wrong, right = (estimate_error(one, x, x, ~mask) for x in (half_wrong, truth))
    assert wrong != right
    assert wrong.relmse > right.relmse


def test_lost_samples_do_not_count() -> None:
    truth = RENDERER.reference(VIEW)
    clean = pair()
    target = clean.target.copy()
    target[1, 5, 5] = np.nan
    assert clean.partner is not None
    broken = FramePair.of_halves(clean.input, clean.partner.with_planes(radiance=target))
    estimate = estimate_error(broken, truth, truth)
    assert estimate.relmse == pytest.approx(estimate_error(clean, truth, truth).relmse, abs=0.01)
    assert np.isfinite(Judgement.of(broken, truth, truth).error_map(trained=True)).all()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (3, 5)])
def test_a_frame_of_one_tile_has_no_interval(size: tuple[int, int], random_pair: Callable[..., FramePair]) -> None:
    tiny = random_pair(*size)
    estimate = estimate_error(tiny, tiny.input.radiance, tiny.target)
    assert np.isnan(estimate.relmse)
    assert estimate.to_json().items() >= {"estimated_relmse": None, "interval": [None, None]}.items()
    shown = Judgement.of(tiny, tiny.input.radiance, tiny.target).error_map(trained=True)
    assert shown.shape == (1, *size)
    assert (shown >= 0).all()


def test_the_map_shows_where_the_error_is() -> None:
    truth = RENDERER.reference(VIEW)
    wrong = truth.copy()
    wrong[:, :30, :30] *= 2
    shown = Judgement.of(pair(spp=256), wrong, wrong).error_map(trained=True)[0]
    assert shown.dtype == np.float32
    assert shown[5:15, 5:15].mean() > 20 * shown[60:, 60:].mean()
    assert (shown >= 0).all()


def test_the_map_shows_where_the_halves_differ() -> None:
    one = pair()
    assert one.partner is not None
    truth = RENDERER.reference(VIEW)
    a, b = truth.copy(), truth.copy()
    a[:, :30, :30], b[:, :30, :30] = one.input.radiance[:, :30, :30], one.target[:, :30, :30]
    judged = Judgement.of(one, a, b)
    shown = judged.error_map(trained=False)[0]
    assert shown[8:22, 8:22].mean() > 20 * shown[60:, 60:].mean()
    assert judged.error_map(trained=True).mean() > shown.mean()


def relmse(image: np.ndarray) -> float:
    truth = RENDERER.reference(VIEW).astype(np.float64)
    return float((np.square(image - truth) / (np.square(truth) + 0.01)).mean())


def test_a_denoiser_that_is_right_is_left_alone() -> None:
    """The share is zero or nearly so, though noise suggests otherwise here and there."""
    truth = RENDERER.reference(VIEW)
    for seed in range(5):
        one = pair(seed)
        merged, noisy = merge_halves(one, truth, truth)
        assert relmse(merged.radiance) < 0.01 * relmse(noisy)
        assert np.mean(merged.radiance == truth) > 0.7


def test_where_the_denoiser_fails_the_noisy_mean_is_better() -> None:
    wrong = RENDERER.reference(VIEW).copy()
    wrong[:, :40] *= np.float32(3)
    one = pair(spp=256)
    merged, noisy = merge_halves(one, wrong, wrong)
    # Lit rows of the upper half; windows at the border see both.
    top, bottom = np.s_[:, :32], np.s_[:, 48:]
    assert np.abs(merged.radiance[top] - noisy[top]).mean() < 0.1 * np.abs(wrong[top] - noisy[top]).mean()
    assert np.abs(merged.radiance[bottom] - wrong[bottom]).mean() < 0.1 * np.abs(noisy[bottom] - wrong[bottom]).mean()


@pytest.mark.parametrize("off", [0.0, 0.02, 0.3])
def test_the_image_is_never_much_worse_than_either(off: float) -> None:
    """From 2 to 4096 samples, whatever the denoiser's own error: at most 5 % above the better of the two, or 1e-5."""
    wrong = (RENDERER.reference(VIEW) * np.float32(1 + off)).astype(np.float32)
    before = np.inf
    for spp in (1, 8, 64, 512, 2048):
        merged, noisy = merge_halves(pair(3, spp), wrong, wrong)
        found = relmse(merged.radiance)
        assert found <= 1.05 * min(relmse(noisy), relmse(wrong)) + 2e-4 / spp
        assert found <= 1.02 * before + 1e-6, "more samples are never worse"
        before = found


def test_merged_frames_have_the_mean_of_everything_else(random_pair: Callable[..., FramePair]) -> None:
    one = random_pair(20, 24)
    assert one.partner is not None
    merged, noisy = merge_halves(one, one.input.radiance, one.target)
    assert np.allclose(noisy, (one.input.radiance + one.target) / 2)
    assert np.allclose(merged.planes["albedo"], (one.input.planes["albedo"] + one.partner.planes["albedo"]) / 2)
    assert merged.spp == one.input.spp + one.partner.spp


def test_lost_and_negative_samples_do_not_spoil_the_image() -> None:
    wrong = RENDERER.reference(VIEW) * np.float32(2)
    clean = pair(spp=64)
    target = clean.target.copy()
    target[0, 5, 5], target[1, 6, 6], target[:, 7, 7] = np.nan, np.inf, -100.0
    assert clean.partner is not None
    broken = FramePair.of_halves(clean.input, clean.partner.with_planes(radiance=target))
    image = merge_halves(broken, wrong, wrong)[0].radiance
    assert np.isfinite(image).all()
    assert (image >= 0).all()
    assert image[0, 5, 5] == wrong[0, 5, 5], "there is no noisy mean to go to"
    assert np.array_equal(image[:, 40:], merge_halves(clean, wrong, wrong)[0].radiance[:, 40:])


def test_what_one_half_alone_sees_is_no_speck_in_the_image() -> None:
    truth = RENDERER.reference(VIEW)
    specked = truth.copy()
    specked[:, 40, 20] *= np.float32(1000)
    for halves in ((specked, truth), (truth, specked)):
        image = merge_halves(pair(), *halves)[0].radiance
        assert (image[:, 40, 20] < 3 * truth[:, 39:42, 19:22].max()).all()
        assert np.argmax(image[:, 40, 20]) == np.argmax(truth[:, 40, 20]), "its colour stays"
    assert np.array_equal(agreeing(specked, specked)[0], specked), "what both see is there"
    assert np.array_equal(agreeing(truth, truth)[1], truth)
    black = np.zeros_like(truth)
    assert not agreeing(truth, black)[0].any()


@pytest.mark.parametrize("count", [1, 2])
def test_fireflies_do_not_speak_for_their_surroundings(count: int) -> None:
    """A pixel that both halves find bright makes noise around it no better than the denoised image."""
    truth = RENDERER.reference(VIEW)
    one = pair(1)
    assert one.partner is not None
    halves = [np.array(one.input.radiance), np.array(one.target)]
    for half in halves:
        half[:, 40, 40 : 40 + 3 * count : 3] = 500.0
    bright = FramePair.of_halves(one.input.with_planes(radiance=halves[0]), one.partner.with_planes(radiance=halves[1]))
    image = merge_halves(bright, truth, truth)[0].radiance
    expected = merge_halves(one, truth, truth)[0].radiance
    around = np.s_[:, 36:40, 36:50]
    assert np.abs(image[around] - truth[around]).mean() <= np.abs(expected[around] - truth[around]).mean() + 1e-3
