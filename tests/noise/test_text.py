from __future__ import annotations

import numpy as np
import pytest

from rendernoise.frame import Plane
from rendernoise.noise.text import Text
from tests.noise.chance import assert_mean


def covered(noisy: Plane, clean: Plane) -> np.ndarray:
    return (noisy != clean).any(axis=0)


def clean_image(channels: int, height: int, width: int) -> Plane:
    """Values that no colour of a string has, so that every covered pixel is seen to be."""
    return np.full((channels, height, width), 2, np.float32)


@pytest.mark.parametrize(
    ("size", "repeats"), [((1, 1), 2000), ((3, 5), 1000), ((48, 64), 250), ((128, 100), 120)], ids=str
)
@pytest.mark.parametrize("share", [0.02, 0.25, 0.5])
def test_the_covered_share_is_right_on_average(size: tuple[int, int], repeats: int, share: float) -> None:
    """False alarms: 1 in a million over all cases."""
    rng, clean = np.random.default_rng(1), clean_image(1, *size)
    shares = [covered(Text().corrupt(clean, share, rng).image, clean).mean() for _ in range(repeats)]
    assert_mean(np.array(shares), share, comparisons=12)


def test_the_covered_share_is_right_in_one_image_within_a_string() -> None:
    rng, clean = np.random.default_rng(2), clean_image(3, 256, 256)
    for share in np.linspace(0, 0.5, 11):
        assert abs(covered(Text().corrupt(clean, share, rng).image, clean).mean() - share) < 0.03


def test_no_pixel_is_favoured() -> None:
    """Border against middle, and quadrants, over 200 images. False alarms: 1 in a million over all comparisons."""
    rng, clean = np.random.default_rng(3), clean_image(1, 60, 80)
    masks = np.stack([covered(Text().corrupt(clean, 0.25, rng).image, clean) for _ in range(200)])
    everywhere = masks.mean(axis=(1, 2))
    for part in (masks[:, :2], masks[:, -2:], masks[:, :, :2], masks[:, :, -2:], masks[:, 20:40, 20:60]):
        assert_mean(part.mean(axis=(1, 2)) - everywhere, 0, comparisons=5)


def test_strings_have_one_uniform_colour_each() -> None:
    """Few colours cover many pixels, and have the moments of uniform ones. False alarms: 1 in a million in all."""
    rng, clean = np.random.default_rng(4), clean_image(3, 128, 128)
    colours = []
    for _ in range(40):
        noisy = Text().corrupt(clean, 0.25, rng).image
        inside = covered(noisy, clean)
        assert (noisy != clean)[:, inside].all(), "whole pixels"
        found = np.unique(noisy[:, inside].T, axis=0)
        assert 2 < len(found) < 60, "hard edges: no colour between string and image"
        colours.append(found)
    values = np.concatenate(colours).astype(np.float64)
    assert np.abs(values).max() <= 0.5
    assert_mean(values, 0, comparisons=3)
    assert_mean(values**2, 1 / 12, comparisons=3)
    assert_mean(values[:, 0] * values[:, 1], 0, comparisons=3)


def test_sizes_and_characters_differ() -> None:
    """Strokes of more than one width, upright: letters of a size that fills 10 rows and of one that fills 20."""
    rng, clean = np.random.default_rng(5), clean_image(1, 300, 300)
    heights = set()
    for _ in range(60):
        noisy = Text().corrupt(clean, 0.01, rng).image[0]
        for colour in np.unique(noisy[noisy != 2]):
            rows = np.flatnonzero((noisy == colour).any(axis=1))
            heights.add(int(rows[-1] - rows[0] + 1))
    assert min(heights) < 12
    assert max(heights) > 18
