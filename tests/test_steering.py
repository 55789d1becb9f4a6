"""Who gets more samples."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rendernoise.config import OnlineConfig
from rendernoise.errors import InputError
from rendernoise.io.exr import read_frame
from rendernoise.metrics.relative import relmse
from rendernoise.online import run_online
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.process import RendererProcess
from rendernoise.steering import FALL, MOST_GROWTH, by_gain, until_good

Config = Callable[..., OnlineConfig]
Start = Callable[..., Callable[[], RendererProcess]]
SIZE, SMALL = (96, 64), (48, 32)


def test_frames_that_are_good_enough_get_nothing() -> None:
    assert until_good({1: 0.01, 2: 0.02, 3: 0.0199}, {1: 1, 2: 1, 3: 1}, 0.02) == {}


@pytest.mark.parametrize(("bound", "has", "more"), [(0.021, 1, 1), (0.02 * 2**FALL, 10, 10), (0.03, 8, 7), (9, 4, 12)])
def test_the_others_get_what_the_law_of_their_error_asks_for(bound: float, has: int, more: int) -> None:
    assert until_good({7: bound}, {7: has}, 0.02) == {7: more}
    assert more <= (MOST_GROWTH - 1) * has


def test_what_is_left_is_shared() -> None:
    upper, units = {1: 0.1, 2: 0.1, 3: 0.01}, {1: 4, 2: 2, 3: 4}
    assert until_good(upper, units, 0.02) == {1: 12, 2: 6}
    assert until_good(upper, units, 0.02, 18) == {1: 12, 2: 6}
    assert until_good(upper, units, 0.02, 9) == {1: 6, 2: 3}
    assert until_good(upper, units, 0.02, 1) == {}


def mean_error(errors: dict[int, float], units: dict[int, int], added: dict[int, int]) -> float:
    return sum(e * ((units[n] + added.get(n, 0)) / units[n]) ** -FALL for n, e in errors.items())


def test_seconds_go_where_they_help_most() -> None:
    """No other split of as many units is better."""
    errors, units = {1: 0.09, 2: 0.02, 3: 0.01, 4: 0.0}, {1: 4, 2: 4, 3: 8, 4: 4}
    found = by_gain(errors, units, 12)
    assert sum(found.values()) == 12
    assert found[1] > found.get(2, 0) >= found.get(3, 0)
    assert 4 not in found
    best = min(
        mean_error(errors, units, dict(zip(errors, split, strict=True)))
        for split in itertools.product(range(13), repeat=4)
        if sum(split) == 12 and all(more <= (MOST_GROWTH - 1) * units[n] for n, more in zip(errors, split, strict=True))
    )
    assert mean_error(errors, units, found) == pytest.approx(best)


@pytest.mark.parametrize("errors", [{}, {1: 0.0, 2: 0.0}, {1: -0.1}])
def test_nothing_to_gain(errors: dict[int, float]) -> None:
    assert by_gain(errors, dict.fromkeys(errors, 2), 100) == {}


def test_no_more_than_the_budget() -> None:
    errors = {n: 0.01 for n in range(50)}
    assert by_gain(errors, dict.fromkeys(errors, 1), 0) == {}
    for budget in (1, 7, 49, 50, 1000):
        assert sum(by_gain(errors, dict.fromkeys(errors, 1), budget).values()) == min(budget, 150)


def truth(summary: dict[str, Any], out: Path) -> dict[int, float]:
    """The true relMSE of each written frame."""
    found: dict[int, float] = {}
    for frame in summary["frames"]:
        number = frame["frame"]
        reference = AnalyticRenderer(SIZE).reference(View(number))
        found[number] = relmse(read_frame(out / "denoised" / f"shot.{number:04d}.exr").radiance, reference)
    return found


def test_frames_are_rendered_until_they_are_good_enough(online_config: Config, analytic: Start) -> None:
    plain = run_online(online_config(3, network="fast"), start_renderer=analytic(resolution=SIZE))
    target = 0.75 * min(f["interval"][1] for f in plain["frames"])
    config = online_config(3, network="fast", target_error=target, overwrite=True)
    events: list[dict[str, Any]] = []
    summary = run_online(config, events.append, analytic(resolution=SIZE))
    assert all(f["interval"][1] <= target for f in summary["frames"])
    assert all(f["spp"] > 8 for f in summary["frames"])
    assert all(error <= target for error in truth(summary, config.out).values())
    notes = [e["text"] for e in events if e["event"] == "note" and "spp more" in e["text"]]
    assert notes
    assert notes[0].startswith("3 of 3 frames get ")
    assert notes[0].endswith("spp more: 1-3")
    assert summary["spp"] == round(sum(f["spp"] for f in summary["frames"]) / 3)


def test_a_target_that_is_met_costs_nothing(online_config: Config, analytic: Start) -> None:
    summary = run_online(online_config(2, target_error=1e3), start_renderer=analytic(resolution=SIZE))
    assert [f["spp"] for f in summary["frames"]] == [8, 8]


def test_time_that_is_left_goes_into_samples(online_config: Config, analytic: Start) -> None:
    config = online_config(2, time=10.0, steps=None, min_steps=2, network="fast")
    summary = run_online(config, start_renderer=analytic(resolution=SMALL))
    assert sum(f["spp"] for f in summary["frames"]) > 16


def test_a_target_ends_with_the_time(online_config: Config, analytic: Start) -> None:
    config = online_config(2, time=4.0, target_error=1e-7, network="fast")
    start = time.monotonic()
    run_online(config, start_renderer=analytic(resolution=SIZE))
    assert time.monotonic() - start < 30


def test_interrupted_in_a_later_round_it_ends_with_the_same_pixels(
    online_config: Config, analytic: Start, tmp_path: Path
) -> None:
    class Stop(Exception): ...

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "pair" and event["pass"] == 1 and event["frame"] == 2:
            raise Stop

    options = {"target_error": 0.01, "steps": 1, "min_steps": 4, "network": "fast"}
    images = []
    for folder, broken in (("one", False), ("two", True)):
        config = online_config(3, out=tmp_path / folder, **options)
        if broken:
            with pytest.raises(Stop):
                run_online(config, stop, analytic(resolution=SMALL))
            config = replace(config, resume=True)
        summary = run_online(config, start_renderer=analytic(resolution=SMALL))
        assert all(f["spp"] > 8 for f in summary["frames"])
        images.append([(config.out / "denoised" / f"shot.{n:04d}.exr").read_bytes() for n in (1, 2, 3)])
    assert images[0] == images[1]


@pytest.mark.parametrize(
    "options",
    [{"target_error": 0.0}, {"target_error": 0.1, "recipe": "paper"}, {"target_error": 1, "final_pass": False}],
)
def test_targets_that_cannot_be(online_config: Config, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="--target-error"):
        online_config(**options)
