from __future__ import annotations

import numpy as np
import pytest

from rendernoise.report.encoding import LARGEST, RELATIVE_ERROR, decode, downscaled, encode

#: Half a step of the codes below the smallest normal half float, 2^-14.
SUBNORMAL_ERROR = 2.0**-22


def test_values_come_back_within_the_stated_error() -> None:
    rng = np.random.default_rng(3)
    radiance = np.exp(rng.uniform(np.log(1e-4), np.log(10), (3, 40, 50))).astype(np.float32)
    radiance[:, ::2] *= -1
    back = decode(encode(radiance))
    assert (np.sign(back) == np.sign(radiance)).all()
    assert np.abs(back / radiance - 1).max() <= RELATIVE_ERROR < 0.005


@pytest.mark.parametrize("smooth", [False, True])
def test_both_ways_of_predicting_are_exact(smooth: bool) -> None:
    rng = np.random.default_rng(0)
    grey = np.linspace(0.2, 0.4, 64, dtype=np.float32) * np.ones((3, 48, 1), np.float32)
    radiance = grey if smooth else rng.lognormal(-1, 2, (3, 48, 64)).astype(np.float32)
    encoded = encode(radiance)
    assert encoded.mode == ("left" if smooth else "plain")
    # Once rounded, a second time changes nothing.
    once = decode(encoded)
    np.testing.assert_array_equal(decode(encode(once)), once)
    assert (np.abs(once - radiance) <= RELATIVE_ERROR * radiance + SUBNORMAL_ERROR).all()


def test_what_a_half_cannot_hold_is_kept_as_well_as_it_can() -> None:
    radiance = np.full((3, 64, 64), 0.5, np.float32)
    radiance[0, 0, :4] = np.nan, np.inf, -np.inf, -2.5
    radiance[1, 1, :4] = 1e9, -1e9, 0.0, 1e-7
    encoded = encode(radiance)
    back = decode(encoded)
    assert encoded.shift_ev == 0
    assert encoded.nonfinite_px == 3
    assert np.isnan(back[0, 0, 0])
    assert back[0, 0, 1:4].tolist() == [np.inf, -np.inf, -2.5]
    assert back[1, 1, :3].tolist() == [LARGEST, -LARGEST, 0]
    assert abs(back[1, 1, 3] - 1e-7) <= SUBNORMAL_ERROR


@pytest.mark.parametrize("scale", [1e-6, 1e5])
def test_scenes_in_odd_units_keep_their_precision(scale: float) -> None:
    radiance = (np.random.default_rng(1).lognormal(0, 1, (3, 32, 32)) * scale).astype(np.float32)
    encoded = encode(radiance)
    assert encoded.shift_ev != 0
    assert np.abs(decode(encoded) / radiance - 1).max() <= RELATIVE_ERROR


def test_rounding_is_invisible_at_any_exposure() -> None:
    # A ramp over 20 stops: at each of 21 exposures, no value moves by more than a step of 8 bit sRGB.
    ramp = np.broadcast_to(np.logspace(-3, 3, 3000, dtype=np.float32), (3, 2, 3000))
    back = decode(encode(ramp))

    def srgb(v: np.ndarray) -> np.ndarray:
        v = np.clip(v, 0, 1)
        return 255 * np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)

    for ev in range(-10, 11):
        assert np.abs(srgb(back * 2.0**ev) - srgb(ramp * 2.0**ev)).max() < 0.5


def test_downscaling_averages_boxes_and_hides_no_nan() -> None:
    radiance = np.arange(3 * 5 * 7, dtype=np.float32).reshape(3, 5, 7)
    radiance[1, 4, 6] = np.nan
    small = downscaled(radiance, 3)
    assert small.shape == (3, 2, 3)
    assert small[0, 0, 0] == radiance[0, :3, :3].mean()
    assert small[0, 1, 2] == radiance[0, 3:, 6:].mean()
    assert np.isnan(small[1, 1, 2])
    assert downscaled(radiance, 1) is radiance
