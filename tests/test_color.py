from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rendernoise.color import MIDDLE_EXPOSURE, TRANSFERS, auto_exposure, demodulator, display, inverse_tonemap, tonemap

RADIANCE = st.floats(0, 1e4, width=32)


@pytest.mark.parametrize("name", sorted(TRANSFERS))
@given(value=RADIANCE)
def test_every_transfer_has_an_inverse(name: str, value: float) -> None:
    transfer = TRANSFERS[name]
    there = transfer.forward(torch.tensor(value, dtype=torch.float64))
    # The tone map comes within 1e-7 of 1 beyond 1e7; below 1e4 the way back loses little.
    assert float(transfer.inverse(there)) == pytest.approx(value, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("name", sorted(TRANSFERS))
@given(one=RADIANCE, two=RADIANCE)
def test_every_transfer_keeps_order(name: str, one: float, two: float) -> None:
    a, b = (TRANSFERS[name].forward(torch.tensor(v, dtype=torch.float64)) for v in sorted((one, two)))
    assert a <= b
    assert torch.isfinite(b)


def test_the_tone_map_is_the_formula_of_the_paper() -> None:
    v = torch.tensor([0.0, 0.1, 1.0, 9.0, 1e30])
    assert torch.allclose(tonemap(v), (v / (1 + v)) ** (1 / 2.2))
    assert float(tonemap(torch.tensor(-5.0))) == 0
    assert float(inverse_tonemap(torch.tensor(0.0))) == 0
    assert torch.isfinite(inverse_tonemap(torch.tensor([1.0, 2.0]))).all()


def image(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(-1, 1, (3, height, width)).astype(np.float32)


@given(exponent=st.integers(-30, 30), seed=st.integers(0, 50), height=st.integers(1, 30), width=st.integers(1, 30))
def test_exposure_undoes_the_scale_of_a_frame(exponent: int, seed: int, height: int, width: int) -> None:
    frame = image(height, width, seed)
    scale = np.float32(2.0**exponent)
    assert auto_exposure(frame * scale) * scale == pytest.approx(auto_exposure(frame), rel=1e-5)


def test_exposure_brings_a_flat_frame_to_the_middle() -> None:
    assert auto_exposure(np.full((3, 9, 17), 3.0, np.float32)) == pytest.approx(MIDDLE_EXPOSURE / 3)
    assert auto_exposure(np.full((3, 1, 1), 0.25, np.float32)) == pytest.approx(2)


def test_fireflies_hardly_move_the_exposure() -> None:
    frame = image(64, 64)
    before = auto_exposure(frame)
    frame[:, [3, 20, 50], [9, 40, 33]] = 1e6
    assert auto_exposure(frame) == pytest.approx(before, rel=0.1)
    assert 0.5 / frame.mean() < 0.01 * before, "the mean, in comparison, is far off"


def test_missed_light_hardly_moves_the_exposure() -> None:
    rng = np.random.default_rng(1)
    hit = rng.random((64, 64)) < 0.2
    frame = (np.ones((3, 64, 64)) * hit / 0.2).astype(np.float32)
    assert np.median(frame) == 0
    assert auto_exposure(frame) == pytest.approx(0.5, rel=0.1)


def test_black_negative_and_broken_frames_have_an_exposure() -> None:
    black = np.zeros((3, 5, 5), np.float32)
    assert auto_exposure(black) == 1
    assert auto_exposure(black - 1) == 1
    assert auto_exposure(black + np.float32(np.nan)) == 1
    frame = image()
    broken = frame.copy()
    broken[0, 0, 0], broken[1, 9, 9], broken[2, 7, 7] = np.nan, np.inf, -np.inf
    assert auto_exposure(broken) == pytest.approx(auto_exposure(frame), rel=0.1)
    assert auto_exposure(np.full((3, 4, 4), 1e30, np.float32)) == 1e-12
    assert auto_exposure(np.full((3, 4, 4), 1e-30, np.float32)) == 1e12


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(width=32)))
def test_any_frame_has_a_finite_exposure_and_preview(plane: np.ndarray) -> None:
    frame = np.stack([plane] * 3)
    with np.errstate(all="ignore"):
        assert 1e-12 <= auto_exposure(frame) <= 1e12
        shown = display(frame)
    assert shown.dtype == np.float32
    assert ((shown >= 0) & (shown <= 1)).all()


def test_previews_are_srgb() -> None:
    values = np.array([0.0, 0.002, 0.18, 0.5, 1.0, 7.0], np.float32)
    shown = display(np.tile(values[None, None], (3, 1, 1)))[0, 0]
    # IEC 61966-2-1, by its own piecewise formula.
    assert shown == pytest.approx([0, 0.02584, 0.46136, 0.73536, 1, 1], abs=2e-5)
    assert display(np.full((3, 1, 1), 0.25, np.float32), exposure_ev=1)[0, 0, 0] == pytest.approx(0.73536, abs=2e-5)


def test_the_demodulator_is_bounded_and_leaves_what_has_no_albedo() -> None:
    albedo = torch.tensor([0.0, 0.001, 0.02, 0.5, 1.0, 26.0, -1.0]).reshape(1, 1, 1, 7).expand(1, 3, 1, 7)
    expected = [1.0, 1.0, 0.03 + 0.97 * 0.02, 0.03 + 0.97 * 0.5, 1.0, 1.0, 1.0]
    assert torch.allclose(demodulator(albedo)[0, 0, 0], torch.tensor(expected))
    coloured = torch.tensor([0.0, 0.5, 0.0]).reshape(1, 3, 1, 1)
    assert torch.allclose(demodulator(coloured).flatten(), torch.tensor([0.03, 0.515, 0.03]))
