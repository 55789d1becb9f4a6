"""Law 5: online, a pair is scored before it is trained on, and that score is an unbiased estimate of the error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from statistics import NormalDist

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rendernoise import guard, online
from rendernoise.config import OnlineConfig
from rendernoise.denoiser import Denoiser
from rendernoise.frame import Frame, FramePair, Plane, average
from rendernoise.guard import EPSILON, Judgement, estimate_error, merge_halves
from rendernoise.model import DenoisingModel
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.process import RendererProcess
from rendernoise.seeds import Stream
from rendernoise.sources.live import parts_of
from rendernoise.trainer import Trainer, pays_bf16

Start = Callable[..., Callable[[], RendererProcess]]
SIZE = (48, 32)


def halves(renderer: AnalyticRenderer, frame: int, run_seed: int, spp: int = 4) -> FramePair:
    """The first pass of a frame as ``online`` has it rendered: each half in parts with streams of their own."""
    count = parts_of(spp)

    def part(half: str, index: int) -> Frame:
        return renderer.render(View(frame), spp=spp // count, seed=Stream(run_seed, frame, index, half).pack())

    a, b = (average([part(half, index) for index in range(count)]) for half in ("a", "b"))
    return FramePair.of_halves(a, b)


@pytest.mark.parametrize("passes", [1, 2])
def test_no_step_comes_between_a_pair_and_its_score(
    online_config: Callable[..., OnlineConfig], analytic: Start, monkeypatch: pytest.MonkeyPatch, passes: int
) -> None:
    order: list[object] = []
    step, score, put = Trainer.step, Judgement.score, online.PairStore.show

    def logged_step(self: Trainer, *arguments: object) -> object:
        order.append("step")
        return step(self, *arguments)  # pyright: ignore[reportArgumentType]

    def logged_score(self: Judgement) -> object:
        order.append(("score", self.frame.number))
        return score(self)

    def logged_show(self: online.PairStore, index: int) -> object:
        order.append("arrival")
        return put(self, index)

    monkeypatch.setattr(Trainer, "step", logged_step)
    monkeypatch.setattr(Judgement, "score", logged_score)
    monkeypatch.setattr(online.PairStore, "show", logged_show)
    config = online_config(steps=3, passes=passes, final_pass=False, weights="none")
    online.run_online(config, start_renderer=analytic(resolution=SIZE))
    expected: list[object] = []
    for _ in range(passes):
        for frame in (1, 2, 3):  # each pair arrives in two parts
            expected += ["arrival", "arrival", ("score", frame), "step", "step", "step"]
    assert order == expected


def test_the_first_score_is_that_of_the_untrained_network(
    online_config: Callable[..., OnlineConfig], analytic: Start
) -> None:
    config = online_config(steps=5, seed=0, weights="none")
    online.run_online(config, start_renderer=analytic(resolution=SIZE))
    events = [json.loads(line) for line in (config.out / "metrics.jsonl").read_text().splitlines()]
    scores = [e for e in events if e["event"] == "pair"]
    assert events[0] == scores[0]
    assert [s["step"] for s in scores] == [0, 5, 10]

    spec = Denoiser.load(config.out / "weights.safetensors", "cpu").model.spec
    torch.manual_seed(0)
    model = DenoisingModel(spec)
    pair = halves(AnalyticRenderer(SIZE), 1, 0)
    untrained = Denoiser(model, autocast=pays_bf16(torch.device("cpu")))
    expected = estimate_error(pair, *untrained.halves(pair)).to_json()
    assert scores[0]["estimated_relmse"] == pytest.approx(expected["estimated_relmse"], rel=0.01)
    assert scores[0]["interval"] == pytest.approx(expected["interval"], rel=0.01)


def blur(image: Plane, radius: int = 2) -> Plane:
    """A fixed denoiser: the mean of a window."""
    padded = np.pad(image.astype(np.float64), ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2, axis=(1, 2))  # pyright: ignore
    return windows.mean(axis=(-1, -2)).astype(np.float32)


Denoise = Callable[[FramePair], tuple[Plane, Plane]]


def honest(pair: FramePair) -> tuple[Plane, Plane]:
    return blur(pair.input.radiance), blur(pair.target)


def cheating(pair: FramePair) -> tuple[Plane, Plane]:
    """f(A) that has seen B, and f(B) that has seen A."""
    both = blur(np.float32(0.5) * (pair.input.radiance + pair.target), 1)
    return both, both


@cache
def scored_pair(noise: str, run: int) -> FramePair:
    """Kept, as several tests look at the same many pairs; without features, which none of them needs."""
    renderer = AnalyticRenderer((64, 48), noise=noise)  # pyright: ignore[reportArgumentType]
    pair = halves(renderer, 1, run, spp=8)
    assert pair.partner is not None
    return FramePair.of_halves(*(replace(f, planes={"radiance": f.radiance}) for f in (pair.input, pair.partner)))


def estimates_and_truths(denoise: Denoise, noise: str, runs: int) -> tuple[NDArray, NDArray, NDArray]:
    """Over pairs: the estimate, the true mean squared relative error, whether the interval holds it."""
    renderer = AnalyticRenderer((64, 48), noise=noise)  # pyright: ignore[reportArgumentType]
    reference = renderer.reference(View(1)).astype(np.float64)
    estimates, truths, inside = [], [], []
    for run in range(runs):
        pair = scored_pair(noise, run)
        from_a, from_b = denoise(pair)
        estimate = estimate_error(pair, from_a, from_b)
        scale = np.square(0.5 * (from_a + from_b)) + EPSILON
        written = merge_halves(pair, from_a, from_b)[0].radiance
        truth = float((np.square(written - reference) / scale).mean())
        estimates.append(estimate.relmse)
        truths.append(truth)
        inside.append(estimate.low <= truth <= estimate.high)
    return np.array(estimates), np.array(truths), np.array(inside)


def z_of_difference(estimates: NDArray, truths: NDArray) -> float:
    difference = estimates - truths
    return float(difference.mean() / (difference.std(ddof=1) / np.sqrt(difference.size)))


LIMIT = NormalDist().inv_cdf(1 - 1e-3 / 2)


def constant_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide by one number instead of the denoised mean squared: what is left is the squared error."""
    monkeypatch.setattr(guard, "EPSILON", 1e9)
    monkeypatch.setitem(globals(), "EPSILON", 1e9)


@pytest.mark.parametrize("noise", ["gamma", "firefly"])
def test_the_estimated_squared_error_is_unbiased(noise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    constant_scale(monkeypatch)
    estimates, truths, _ = estimates_and_truths(honest, noise, runs=300)
    assert abs(z_of_difference(estimates, truths)) < LIMIT


def test_it_is_biased_when_the_input_has_seen_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    constant_scale(monkeypatch)
    estimates, truths, _ = estimates_and_truths(cheating, "gamma", runs=300)
    assert z_of_difference(estimates, truths) < -5 * LIMIT, "else the test above could not fail"


def test_the_relative_error_is_nearly_unbiased() -> None:
    """The denoised value in the denominator shares noise with the numerator: low by 2 % with a blur that leaves 7 %."""
    estimates, truths, inside = estimates_and_truths(honest, "gamma", runs=300)
    assert estimates.mean() == pytest.approx(truths.mean(), rel=0.05)
    assert inside.mean() > 0.9


def test_the_noisy_error_is_that_of_the_mean_of_both_halves() -> None:
    renderer = AnalyticRenderer((64, 48))
    reference = renderer.reference(View(1))
    found, truths = [], []
    for run in range(200):
        pair = scored_pair("gamma", run)
        found.append(estimate_error(pair, reference, reference).noisy_relmse)
        mean = 0.5 * (pair.input.radiance.astype(np.float64) + pair.target)
        truths.append(float((np.square(mean - reference) / (np.square(reference) + EPSILON)).mean()))
    assert abs(z_of_difference(np.array(found), np.array(truths))) < LIMIT
