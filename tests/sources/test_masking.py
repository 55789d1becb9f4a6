"""Maskings: that each hides what it says, with the chances it says, and that no hidden value is seen anywhere."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendernoise.errors import ImageError, InputError
from rendernoise.sources.masking import MASKINGS, Masking, get_masking

NAMES = st.sampled_from(sorted(MASKINGS))
SIDES = st.integers(3, 70)
SEEDS = st.integers(0, 2**32)


def chi_square_limit(degrees: int, deviations: float = 3.09) -> float:
    """The 99.9 % point of chi-square; with -3.09, the 0.1 % point (Wilson and Hilferty 1931)."""
    return degrees * (1 - 2 / (9 * degrees) + deviations * np.sqrt(2 / (9 * degrees))) ** 3


def numbered(channels: int, height: int, width: int) -> np.ndarray:
    """An image of which each value says where it is."""
    return np.arange(channels * height * width, dtype=np.float32).reshape(channels, height, width)


@settings(max_examples=100, deadline=None)
@given(NAMES, st.sampled_from([1, 3]), SIDES, SIDES, SEEDS)
def test_no_hidden_value_reaches_the_network(name: str, channels: int, height: int, width: int, seed: int) -> None:
    """Exactly: whatever the hidden pixels hold, the masked image is the same to the bit."""
    masking, image = MASKINGS[name], np.random.default_rng(seed).random((channels, height, width), dtype=np.float32)
    before = image.copy()
    masked, targets = masking.hide(image, np.random.default_rng(seed))
    assert np.array_equal(image, before)
    hidden = masking.hidden(targets)
    other = image.copy()
    other[:, hidden] = 1e6 + np.arange(channels * hidden.sum(), dtype=np.float32).reshape(channels, -1)
    again, targets_again = masking.hide(other, np.random.default_rng(seed))
    assert np.array_equal(masked, again)
    assert np.array_equal(targets, targets_again)
    assert np.array_equal(masked[:, ~hidden], image[:, ~hidden])
    assert masked.dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(n for n in MASKINGS if not MASKINGS[n].median)), SIDES, SIDES, SEEDS)
def test_stand_ins_come_from_around_and_are_not_hidden(name: str, height: int, width: int, seed: int) -> None:
    masking, image = MASKINGS[name], numbered(3, height, width)
    masked, targets = masking.hide(image, np.random.default_rng(seed))
    hidden = masking.hidden(targets)
    shown = ~hidden
    for y, x in np.argwhere(hidden):
        from_y, from_x = divmod(int(masked[0, y, x]), width)
        assert np.array_equal(masked[:, y, x], image[:, from_y, from_x])
        assert shown[from_y, from_x]
        window = shown[
            max(0, y - masking.reach_px) : y + masking.reach_px + 1,
            max(0, x - masking.reach_px) : x + masking.reach_px + 1,
        ]
        assert not window.any() or max(abs(from_y - y), abs(from_x - x)) in range(1, masking.reach_px + 1)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.sampled_from([1, 3]), SEEDS)
def test_n2v2_puts_the_median_of_what_is_shown_around(height: int, width: int, channels: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((channels, height, width), dtype=np.float32)
    masked, targets = MASKINGS["n2v2"].hide(image, np.random.default_rng(seed))
    for y, x in np.argwhere(targets):
        window = np.s_[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        expected = [np.median(plane[window][~targets[window]]) for plane in image]
        assert np.allclose(masked[:, y, x], expected, atol=1e-7)


def test_presets_are_those_of_the_papers() -> None:
    rng = np.random.default_rng(0)
    assert all(MASKINGS[name].targets(64, 64, rng).sum() == 64 for name in ("n2v", "n2v2") for _ in range(5))
    assert MASKINGS["n2v_released"].share == pytest.approx(0.00198)
    assert MASKINGS["n2v"].share == 1 / 64
    assert (MASKINGS["n2v"].reach_px, MASKINGS["n2v_released"].reach_px) == (2, 2)
    assert [name for name in MASKINGS if MASKINGS[name].median] == ["n2v2"]


@pytest.mark.parametrize("name", ["n2v", "n2v_released", "n2v_dense", "struct_n2v"])
def test_there_is_one_target_in_a_cell_at_most(name: str) -> None:
    masking = MASKINGS[name]
    targets = masking.targets(4 * masking.cell_px, 3 * masking.cell_px, np.random.default_rng(3))
    in_cells = targets.reshape(4, masking.cell_px, 3, masking.cell_px).sum((1, 3))
    assert in_cells.max() == 1
    assert masking.filled < 1 or in_cells.min() == 1


@pytest.mark.parametrize("name", ["n2v", "n2v_released", "n2v_dense", "struct_n2v_horizontal"])
def test_every_pixel_is_a_target_alike(name: str) -> None:
    """Chi-square over all pixels of a size that is no multiple of the cell: a false alarm in some 500 seeds."""
    masking = MASKINGS[name]
    height, width, draws = masking.cell_px * 3 // 2 + 1, masking.cell_px * 2 - 1, round(100 / masking.share)
    rng = np.random.default_rng(7)
    count = np.zeros((height, width))
    for _ in range(draws):
        count += masking.targets(height, width, rng)
    # Each term is 1 on average. Pixels of a cell exclude each other, which widens the sum by 3 % at most.
    expected = draws * masking.share
    statistic = float(np.sum((count - expected) ** 2) / (expected * (1 - masking.share)))
    assert chi_square_limit(count.size, -3.09) < statistic < chi_square_limit(count.size), "too even, or too uneven"


@pytest.mark.parametrize(("reach_px", "degrees"), [(2, 23), (5, 119)])
def test_all_neighbours_stand_in_alike_and_the_center_never(reach_px: int, degrees: int) -> None:
    """Chi-square over all places of the window, one pixel hidden at a time: a false alarm in 1000 seeds."""
    masking, side = Masking(reach_px=reach_px), 2 * reach_px + 1
    rng = np.random.default_rng(5)
    hidden = np.zeros((side, side), dtype=bool)
    hidden[reach_px, reach_px] = True
    image = numbered(1, side, side)
    draws = 100 * (side**2 - 1)
    drawn = np.bincount(
        [int(masking.without(image, hidden, rng)[0, reach_px, reach_px]) for _ in range(draws)], minlength=side**2
    )
    center = side**2 // 2
    assert drawn[center] == 0
    assert np.sum((np.delete(drawn, center) - 100.0) ** 2 / 100) < chi_square_limit(degrees)


def test_structured_maskings_hide_lines_around_their_targets() -> None:
    targets = np.zeros((13, 15), dtype=bool)
    targets[6, 7] = targets[0, 0] = True
    rows, columns, both = (MASKINGS[f"struct_n2v{n}"].hidden(targets) for n in ("_horizontal", "_vertical", ""))
    expected = np.zeros_like(targets)
    expected[6, 3:12] = expected[0, :5] = True
    assert np.array_equal(rows, expected)
    expected[:] = False
    expected[2:11, 7] = expected[:5, 0] = True
    assert np.array_equal(columns, expected)
    assert np.array_equal(both, rows | columns)


def test_hidden_lines_get_values_of_their_own() -> None:
    """Each pixel of a line is drawn anew: 9 equal ones would be a line that the network sees."""
    masking = MASKINGS["struct_n2v_horizontal"]
    image = np.random.default_rng(0).random((1, 64, 64), dtype=np.float32)
    masked, targets = masking.hide(image, np.random.default_rng(1))
    hidden = masking.hidden(targets)
    assert len(np.unique(masked[:, hidden])) > 0.9 * hidden.sum()


def test_where_the_window_is_all_hidden_any_other_pixel_stands_in() -> None:
    hidden = np.ones((9, 9), dtype=bool)
    hidden[8, 8] = False
    image = numbered(1, 9, 9)
    for masking in (Masking(), Masking(median=True)):
        assert (masking.without(image, hidden, np.random.default_rng(0)) == 80).all()
        with pytest.raises(ImageError, match="all of 9x9 px is hidden"):
            masking.without(image, np.ones_like(hidden), np.random.default_rng(0))


def test_nothing_hidden_leaves_the_image_as_it_is() -> None:
    nothing = replace(MASKINGS["n2v"], filled=0.0)
    image = numbered(1, 16, 16)
    for masking in (nothing, replace(nothing, median=True)):
        masked, targets = masking.hide(image, np.random.default_rng(0))
        assert np.array_equal(masked, image)
        assert not targets.any()


@pytest.mark.parametrize("name", sorted(MASKINGS))
def test_seeds_repeat_and_differ(name: str) -> None:
    image = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
    one, again, other = (MASKINGS[name].hide(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one[0], again[0])
    assert np.array_equal(one[1], again[1])
    assert not np.array_equal(one[1], other[1])


def test_an_unknown_masking_is_refused() -> None:
    assert get_masking("n2v") is MASKINGS["n2v"]
    with pytest.raises(
        InputError, match=re.escape("no masking 'n3v'. Choose one of n2v, n2v_dense, n2v_released, n2v2")
    ):
        get_masking("n3v")
