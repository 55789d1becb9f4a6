"""What an error is worth in samples, against cases computed by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rendernoise.bench.equal import equal_quality, samples_needed


@pytest.mark.parametrize(
    ("curve", "error", "lawful", "samples", "how"),
    [
        # Halfway down in the logarithm of the error is halfway in that of the samples.
        ([(4, 1.0), (64, 0.01)], 0.1, False, 16, "interpolated"),
        ([(4, 1.0), (16, 0.25), (64, 0.0625)], 0.125, False, 32, "interpolated"),
        ([(4, 1.0), (16, 0.25)], 0.25, False, 16, "interpolated"),
        ([(4, 1.0), (16, 0.25)], 0.01, True, 400, "extrapolated"),
        ([(4, 1.0)], 0.25, True, 16, "extrapolated"),
        ([(4, 1.0), (16, 0.25)], 0.01, False, None, "not reached"),
        ([(4, 1.0), (16, 0.25)], 1.5, True, None, "below"),
        ([(4, 1.0), (16, 0.25)], 1.0, True, None, "below"),
        # A bump is passed by: the first way down that reaches the error counts.
        ([(4, 1.0), (16, 2.0), (64, 0.5)], 0.5, False, 64, "interpolated"),
        ([(4, 1.0), (16, 0.25), (64, 0.5), (256, 0.1)], 0.5, False, 8, "interpolated"),
        ([(4, 1.0), (16, 1.0), (64, 0.5)], 0.5, False, 64, "interpolated"),
        # Where an error is 0 there is no line in the log-log plot.
        ([(4, 1.0), (16, 0.0)], 0.5, False, 16, "interpolated"),
    ],
)
def test_by_hand(curve: list[tuple[int, float]], error: float, lawful: bool, samples: float | None, how: str) -> None:
    found, said = samples_needed(curve, error, inverse_law=lawful)
    assert said == how
    assert found == (samples if samples is None else pytest.approx(samples))


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=6), st.floats(1e-9, 1e3), st.booleans())
def test_any_curve(errors: list[float], error: float, lawful: bool) -> None:
    curve = [(4**n, e) for n, e in enumerate(errors, 1)]
    samples, how = samples_needed(curve, error, inverse_law=lawful)
    if how in ("below", "not reached"):
        assert samples is None
    else:
        assert samples is not None
        assert math.isfinite(samples)
        assert samples >= 4 * (1 - 1e-9)
        assert (samples <= curve[-1][0] * (1 + 1e-9)) == (how == "interpolated")


def row(
    method: str, spp: int, value: float | None, *, near: bool = False, frame: int = 1, **other: Any
) -> dict[str, Any]:
    facts = {"scene": "s", "metric": "relmse", "seed": 0, **other}
    return {**facts, "frame": frame, "method": method, "spp": spp, "value": value, "within_reference_noise": near}


def worth(*rows: dict[str, Any]) -> dict[tuple[int, str], tuple[float | None, str]]:
    return {(e["spp"], e["baseline"]): (e["needs_spp"], e["how"]) for e in equal_quality(rows)}


NOISY = [row("noisy", spp, 4 / spp) for spp in (4, 16, 64)]


def test_ours_against_each_of_the_others() -> None:
    ours = [row("online", 4, 0.25), row("online", 16, 0.01), row("base", 4, 0.5)]
    others = [row("oidn", 4, 0.5), row("oidn", 16, 0.125)]
    found = equal_quality([*NOISY, *ours, *others])
    assert {e["method"] for e in found} == {"online", "base"}
    assert {e["baseline"] for e in found} == {"noisy", "oidn"}
    assert worth(*NOISY, *ours[:2], *others) == {
        (4, "noisy"): (16, "interpolated"),
        (16, "noisy"): (400, "extrapolated"),
        (4, "oidn"): (8, "interpolated"),
        (16, "oidn"): (None, "not reached"),
    }


def test_means_are_over_frames_and_seeds() -> None:
    ours = [row("online", 4, 0.2), row("online", 4, 0.3, frame=2), row("online", 4, 0.25, seed=1)]
    assert worth(*NOISY, *ours) == {(4, "noisy"): (16, "interpolated")}


@pytest.mark.parametrize("value", [None, 0.0, -0.1])
def test_what_says_nothing_is_left_out(value: float | None) -> None:
    assert worth(*NOISY, row("online", 4, value)) == {}
    # Beyond a point that says nothing nobody knows how the curve goes on; before it they do.
    assert worth(*NOISY[:2], row("noisy", 64, value), row("online", 4, 0.125)) == {}
    assert worth(*NOISY[:2], row("noisy", 64, value), row("online", 4, 0.5)) == {(4, "noisy"): (8, "interpolated")}


def test_a_curve_that_goes_into_the_references_noise_is_not_said_to_miss_the_error() -> None:
    oidn = [row("oidn", 4, 0.05), row("oidn", 16, 0.01, near=True)]
    assert worth(*oidn, row("online", 16, 0.02)) == {}
    early = [row("oidn", 4, 0.01, near=True), row("oidn", 16, 0.005)]
    assert worth(*early, row("online", 16, 0.02)) == {}


def test_plain_rendering_is_carried_further_only_where_it_falls_as_it_should() -> None:
    """Fireflies that few samples have missed keep the error up; a line through such points leads nowhere."""
    fireflies = [row("noisy", 4, 0.35), row("noisy", 16, 0.35), row("noisy", 64, 0.34)]
    assert worth(*fireflies, row("online", 16, 0.1)) == {(16, "noisy"): (None, "not reached")}


def test_what_is_within_the_references_noise_or_of_unknown_samples_is_left_out() -> None:
    assert worth(*NOISY, row("online", 4, 0.25), row("online", 4, 0.25, near=True, frame=2)) == {}
    assert worth(row("noisy", 0, 1.0), row("online", 0, 0.25)) == {}


def test_only_errors_are_compared_and_only_squared_ones_extrapolated() -> None:
    for metric, expected in (
        ("trimmed_relmse", (100, "extrapolated")),
        ("smape", (None, "not reached")),
        ("flip", (None, "not reached")),
    ):
        rows = [row("noisy", 16, 0.25, metric=metric), row("online", 4, 0.04, metric=metric)]
        assert worth(*rows) == {(4, "noisy"): expected}
    for metric in ("psnr", "ssim", "bias", "temporal"):
        assert worth(row("noisy", 16, 0.25, metric=metric), row("online", 4, 0.04, metric=metric)) == {}


def test_scenes_are_kept_apart() -> None:
    rows = [row("noisy", 16, 0.25), row("online", 4, 0.04, scene="other")]
    assert worth(*rows) == {}
