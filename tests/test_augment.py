from __future__ import annotations

import numpy as np
import pytest

from rendernoise.augment import shift


@pytest.mark.parametrize("size", [(255, 255), (9, 4), (1, 1)], ids=str)
def test_a_shift_is_cyclic_and_leaves_the_magnitudes_of_frequencies(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.random((3, *size), dtype=np.float32)
    moved = shift(image, rng)
    assert moved.shape == image.shape
    assert moved.dtype == np.float32
    assert np.array_equal(np.sort(moved, axis=None), np.sort(image, axis=None))
    magnitudes = np.abs(np.fft.fft2(image))
    assert np.allclose(np.abs(np.fft.fft2(moved)), magnitudes, atol=1e-4 * magnitudes.max())


def test_shifts_are_uniform_both_ways_and_all_channels_move_together() -> None:
    """All 25 shifts of up to 2 px appear; chi-square with 24 degrees of freedom, 1 false alarm in a million: 73."""
    rng = np.random.default_rng(1)
    image = np.zeros((2, 11, 13), np.float32)
    image[:, 5, 6] = 1
    counts = np.zeros((5, 5))
    for _ in range(2500):
        moved = shift(image, rng, most_px=2)
        assert np.array_equal(moved[0], moved[1])
        down, right = np.argwhere(moved[0])[0] - (5, 6)
        counts[down + 2, right + 2] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 73


def test_the_image_itself_stays() -> None:
    image = np.random.default_rng(0).random((1, 8, 8), dtype=np.float32)
    before = image.copy()
    shift(image, np.random.default_rng(3))[:] = 7
    assert np.array_equal(image, before)
