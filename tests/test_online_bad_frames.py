"""Whatever a renderer delivers, ``online`` ends with finite pictures and spreads no lost sample."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rendernoise.config import OnlineConfig
from rendernoise.denoiser import Denoiser
from rendernoise.frame import Frame
from rendernoise.io.exr import read_frame
from rendernoise.online import run_online
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.process import Rendered, Request

Config = Callable[..., OnlineConfig]
Change = Callable[[Frame], Frame]


class Changed:
    """The analytic renderer in this process, whose frames are changed."""

    def __init__(self, change: Change, size: tuple[int, int]) -> None:
        self.change, self.renderer = change, AnalyticRenderer(size)

    def map(self, requests: Iterator[Request]) -> Iterator[Rendered]:
        for request in requests:
            frame = self.renderer.render(request.view, spp=request.spp, seed=request.seed)
            yield Rendered(request, self.change(frame), 0.0)

    def close(self) -> None: ...


def run(config: OnlineConfig, change: Change, size: tuple[int, int] = (64, 48)) -> dict[str, Any]:
    summary = run_online(config, lambda event: None, lambda: Changed(change, size))  # pyright: ignore
    json.dumps(summary, allow_nan=False)
    return summary


def result_of(config: OnlineConfig, number: int = 1) -> np.ndarray:
    return read_frame(config.out / "denoised" / f"shot.{number:04d}.exr").radiance


def scaled(frame: Frame, factor: float) -> Frame:
    return frame.with_planes(radiance=frame.radiance * np.float32(factor))


def lose(frame: Frame, value: float) -> Frame:
    radiance = frame.radiance.copy()
    radiance[:, ::9, ::11] = value
    return frame.with_planes(radiance=radiance)


BAD: dict[str, Change] = {
    "black": lambda f: scaled(f, 0),
    "constant": lambda f: f.with_planes(radiance=np.full_like(f.radiance, 0.3)),
    "colour alone": lambda f: replace(f, planes={"radiance": f.radiance}),
    "colour and normal": lambda f: replace(f, planes={n: f.planes[n] for n in ("radiance", "normal")}),
    "black albedo": lambda f: f.with_planes(albedo=np.zeros_like(f.planes["albedo"])),
    "lost samples": lambda f: lose(f, np.nan),
    "infinite samples": lambda f: lose(f, np.inf),
    "fireflies": lambda f: lose(f, 1e6),
}


@pytest.mark.parametrize("weights", ["base", "none"])
@pytest.mark.parametrize("case", BAD)
def test_bad_frames_end_in_finite_pictures(case: str, weights: str, online_config: Config) -> None:
    """From one sample a pixel; no step is lost."""
    config = online_config(2, spp=1, steps=2, min_steps=6, weights=weights)
    summary = run(config, BAD[case])
    assert summary["steps"] == 6
    assert summary["skipped_steps"] == 0
    for number in (1, 2):
        result = result_of(config, number)
        assert np.isfinite(result).all()
        assert (result >= 0).all()
        if case == "black":
            assert float(result.max()) < 0.1
    assert Denoiser.load(config.out / "weights.safetensors", "cpu").model.spec.bears_absence


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 1)])
@pytest.mark.parametrize("case", ["black", "colour alone", "lost samples"])
def test_a_few_bad_pixels(case: str, size: tuple[int, int], online_config: Config) -> None:
    config = online_config(1, spp=1, steps=1)
    run(config, BAD[case], size)
    assert np.isfinite(result_of(config)).all()


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20])
def test_the_result_scales_with_the_exposure_after_training(
    factor: float, online_config: Config, tmp_path: Any
) -> None:
    """1e-6 and 1e6 nearly: powers of two leave no trace in float32, so training takes the same steps."""
    results = []
    for name, scale in (("one", 1.0), ("scaled", factor)):
        config = online_config(1, out=tmp_path / name, steps=4, weights="base")
        run(config, lambda f, scale=scale: scaled(f, scale))
        results.append(result_of(config))
    assert np.allclose(results[1], results[0] * np.float32(factor), rtol=1e-3, atol=0)


def test_online_starts_from_base_weights_and_says_so(online_config: Config) -> None:
    config = online_config(1, steps=1)
    run(config, lambda f: f)
    made = Denoiser.load(config.out / "weights.safetensors", "cpu")
    assert made.provenance["started_from"] == "base"
    assert made.model.spec.network == "kernel_pyramid"
